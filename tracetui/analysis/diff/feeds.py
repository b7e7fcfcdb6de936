"""What a tensor is computed from: the records that tell whether a fault was made there or only carried on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracetui.analysis.diff.align import plain_site
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.mapping.names import execution_rank
from tracetui.trace.record import layer_of

_INPUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    ".input_layernorm": ((":input",),),
    ".self_attn.q_proj": ((".input_layernorm", ":input"),),
    ".self_attn.k_proj": ((".input_layernorm", ":input"),),
    ".self_attn.v_proj": ((".input_layernorm", ":input"),),
    ".self_attn.qkv_proj": ((".input_layernorm", ":input"),),
    ".self_attn.q_a_proj": ((".input_layernorm", ":input"),),
    ".self_attn.q_a_layernorm": ((".self_attn.q_a_proj",),),
    ".self_attn.q_b_proj": ((".self_attn.q_a_layernorm", ".self_attn.q_a_proj"),),
    ".self_attn.kv_a_proj_with_mqa": ((".input_layernorm", ":input"),),
    ".self_attn.kv_a_layernorm": ((".self_attn.kv_a_proj_with_mqa",),),
    ".self_attn.kv_b_proj": ((".self_attn.kv_a_layernorm", ".self_attn.kv_a_proj_with_mqa"),),
    ".self_attn.q_norm": ((".self_attn.q_proj",),),
    ".self_attn.k_norm": ((".self_attn.k_proj",),),
    ".self_attn:q": (
        (".self_attn.q_norm", ".self_attn.q_proj", ".self_attn.q_b_proj", ".self_attn.qkv_proj"),
        ("model.rotary_emb",),
        ("model.rotary_emb#1",),
    ),
    ".self_attn:k": (
        (".self_attn.k_norm", ".self_attn.k_proj", ".self_attn.kv_b_proj", ".self_attn.qkv_proj"),
        (".self_attn.kv_a_proj_with_mqa",),
        ("model.rotary_emb",),
        ("model.rotary_emb#1",),
    ),
    ".self_attn:v": ((".self_attn.v_proj", ".self_attn.kv_b_proj", ".self_attn.qkv_proj"),),
    ".self_attn:scores": ((".self_attn:q",), (".self_attn:k",)),
    ".self_attn:masked": ((".self_attn:scores",), (".self_attn:mask",)),
    ".self_attn:probs": ((".self_attn:masked", ".self_attn:scores", ".self_attn:q"), (".self_attn:mask",)),
    ".self_attn:heads": (
        (".self_attn:probs", ".self_attn:q"),
        (".self_attn:k",),
        (".self_attn:v", ".self_attn.v_proj"),
        (".self_attn:mask",),
        (".self_attn:sinks",),
        (".self_attn:position_bias",),
    ),
    ".self_attn.o_proj": ((".self_attn:heads", ".self_attn:v", ".self_attn.v_proj"),),
    ".self_attn": ((".self_attn.o_proj", ".self_attn:heads", ".self_attn.v_proj", ".input_layernorm"),),
    ":attn_residual": ((":input",), (".self_attn", ".self_attn.o_proj")),
    ".post_attention_layernorm": ((":attn_residual", ".self_attn"),),
    ".mlp.gate": ((".post_attention_layernorm",),),
    ".mlp:selection_bias": (),
    ".mlp:router_logits": ((".mlp.gate", ".post_attention_layernorm"),),
    ".mlp:router_scores": ((".mlp:router_logits", ".mlp.gate"),),
    ".mlp:selection_scores": ((".mlp:router_scores",), (".mlp:selection_bias",)),
    ".mlp:experts": ((".mlp:selection_scores", ".mlp:router_scores", ".mlp.gate"),),
    ".mlp:routing_weights": ((".mlp:router_scores", ".mlp.gate"), (".mlp:experts", ".mlp.gate#2")),
    ".mlp.gate#1": ((".mlp.gate",), (".mlp.gate#2",)),
    ".mlp.gate#2": ((".mlp.gate",),),
    ".mlp.experts": (
        (".post_attention_layernorm",),
        (".mlp:experts", ".mlp.gate#2"),
        (".mlp:routing_weights", ".mlp.gate#1"),
    ),
    ".mlp.gate_proj": ((".post_attention_layernorm",),),
    ".mlp.up_proj": ((".post_attention_layernorm",),),
    ".mlp.act_fn": ((".mlp.gate_proj",),),
    ".mlp.down_proj": ((".mlp.act_fn", ".mlp.gate_proj"), (".mlp.up_proj",)),
    ".mlp.shared_experts.gate_proj": ((".post_attention_layernorm",),),
    ".mlp.shared_experts.up_proj": ((".post_attention_layernorm",),),
    ".mlp": (
        (".mlp.down_proj", ".mlp.experts", ".post_attention_layernorm"),
        (".mlp.shared_experts",),
    ),
    "": ((":attn_residual", ":input"), (".mlp", ".mlp.down_proj")),
    ".mlp.experts.{e}:tokens": ((".mlp:experts", ".mlp.gate#2"),),
    ".mlp.experts.{e}:in": ((".post_attention_layernorm",), (".mlp.experts.{e}:tokens",)),
    ".mlp.experts.{e}": ((".mlp.experts.{e}:in", ".post_attention_layernorm"),),
    ".self_attn:kv_latent": ((".self_attn.kv_a_layernorm",),),
    ".self_attn:k_rope": ((".self_attn.kv_a_proj_with_mqa",), ("model.rotary_emb",), ("model.rotary_emb#1",)),
    ".self_attn:q_absorbed": ((".self_attn:q",),),
    ".self_attn#1": ((".self_attn:q",), (".self_attn:k",), (".self_attn:mask",)),
}
"""By place in the layer: the inputs, each as the records that may stand for it, the nearest first."""
_OUTSIDE = {
    "model.rotary_emb": (),
    "model.embed_tokens": (),
    "model": (("model.norm",),),
    "lm_head": (("model.norm",), ("model",)),
    "logits": (("lm_head", "model.norm"),),
}


_LEAPS = {
    ".self_attn.o_proj": (".self_attn:v", ".self_attn.v_proj"),
    ".self_attn": (".self_attn.v_proj", ".input_layernorm"),
}
"""By place, what may stand for an input only for want of anything nearer: attention lies between."""
_OPTIONAL = (
    ":mask",
    ":sinks",
    ":position_bias",
    ":selection_bias",
    ".shared_experts",
    ".kv_a_proj_with_mqa",
    "rotary_emb",
    "rotary_emb#1",
)
"""Ends of inputs that some models don't have: where nobody recorded one, it is taken for absent."""
_COPIES = (":input", ".self_attn", ".self_attn:v", ".mlp", ".self_attn:kv_latent")
"""Places that hold the very values of what feeds them."""
_EXPERT = re.compile(r"\.experts\.(\d+)")
Sites = Mapping[str, SiteDiff]
Wanted = tuple[tuple[str, ...], ...]
"""Inputs, each as the names that may stand for it."""


@dataclass(frozen=True, slots=True)
class Feeds:
    """The inputs of a site."""

    found: tuple[SiteDiff, ...]
    """What was recorded of them on both sides."""
    missing: bool
    """Whether an input that must exist was not compared."""
    between: tuple[str, ...] = ()
    """What lies between these and this one, and was recorded on one side only."""
    gap: bool = False
    """Whether anything lies between that was not compared."""

    @property
    def agree(self) -> bool:
        return bool(self.found) and not self.missing and all(fed.outcome is Outcome.SAME for fed in self.found)


def feeds(comparison: Comparison, site: SiteDiff, sites: Sites | None = None) -> Feeds:
    """What fed a site, as the names tell, or else the order of execution: what its parent computed just before.

    `sites` are the comparison's by name, for who asks often.
    """
    by_site = sites_by_name(comparison) if sites is None else sites
    wanted = _inputs(site, by_site)
    if wanted is None:
        return _before(comparison, site)
    return _Search(comparison, by_site).of(site.site, wanted)


class _Search:
    """Goes back from a site to the nearest that were compared, through what only one side recorded."""

    def __init__(self, comparison: Comparison, by_site: Sites) -> None:
        self._alone = comparison.alignment.alone
        self._by_site = by_site
        self._found: dict[str, SiteDiff] = {}
        self._passed: set[str] = set()

    def of(self, site: str, wanted: Wanted) -> Feeds:
        missing = False
        for place, names in enumerate(wanted):
            known = len(self._found)
            self._follow(site, names)
            # The first input always exists.
            missing = missing or (place == 0 and len(self._found) == known)
        made = [name for name in self._passed if _place(name) not in _COPIES]
        between = sorted((name for name in made if name in self._alone), key=execution_rank)
        return Feeds(tuple(self._found.values()), missing, tuple(between), gap=bool(made))

    def _follow(self, site: str, names: tuple[str, ...]) -> None:
        waiting = [(site, names)]
        while waiting:
            after, names = waiting.pop()
            nearest = next((name for name in names if name in self._by_site or name in self._alone), "")
            if nearest in self._by_site and not _leaps(after, nearest):
                self._found[nearest] = self._by_site[nearest]
            elif nearest in self._alone or not names[0].split("@")[0].endswith(_OPTIONAL):
                through = nearest if nearest in self._alone else names[0]
                waiting += [(through, inputs) for inputs in reversed(self._through(through))]

    def _through(self, site: str) -> Wanted:
        """The inputs of a site that was not compared; none of one that was gone through before."""
        if site in self._passed:
            return ()
        self._passed.add(site)
        return input_names(site, layer_of(site), self._by_site) or ()


def _leaps(site: str, name: str) -> bool:
    return name.endswith(_LEAPS.get(_place(site), ()))


def _place(site: str) -> str:
    return plain_site(site).removeprefix(f"model.layers.{layer_of(site)}")


def sites_by_name(comparison: Comparison) -> Sites:
    """What was compared, by the site's name."""
    return {found.site: found for found in comparison.sites}


def _inputs(site: SiteDiff, by_site: Sites) -> Wanted | None:
    return input_names(site.site, site.pair.record.layer, by_site)


def input_names(site: str, layer_index: int | None, known_sites: Iterable[str]) -> Wanted | None:
    """The inputs of a site by name, each as the records that may stand for it; None if nothing is known of the site."""
    plain, call = plain_site(site), site.partition("@")[2]
    end = f"@{call}" if call else ""
    if plain in _OUTSIDE:
        return tuple(tuple(name + end for name in names) for names in _OUTSIDE[plain])
    if plain == "model.norm":
        return ((_last_layer(known_sites) + end,),)
    if layer_index is None:
        return None
    place = site.removeprefix(f"model.layers.{layer_index}").removesuffix(end)
    if place == ":input":
        before = f"model.layers.{layer_index - 1}" if layer_index else "model.embed_tokens"
        return ((before + end,),)
    expert = _EXPERT.search(place)
    known = place if expert is None else _EXPERT.sub(".experts.{e}", place)
    if known not in _INPUTS:
        return None
    layer = f"model.layers.{layer_index}"
    number = expert[1] if expert else ""
    return tuple(
        tuple((name if name.startswith("model") else layer + name).replace("{e}", number) + end for name in names)
        for names in _INPUTS[known]
    )


def _last_layer(known_sites: Iterable[str]) -> str:
    ranks = (execution_rank(name) for name in known_sites)
    return f"model.layers.{max((layer for kind, layer, _ in ranks if kind == 1), default=0)}"


def _before(comparison: Comparison, site: SiteDiff) -> Feeds:
    """The last thing that was computed inside it, or the records just before it."""
    place = comparison.sites.index(site)
    earlier = comparison.sites[:place]
    inside = [found for found in earlier if found.pair.record.site.startswith((f"{site.site}.", f"{site.site}:"))]
    if inside:
        return Feeds((inside[-1],), missing=False)
    return Feeds(tuple(earlier[-1:]), missing=not earlier)

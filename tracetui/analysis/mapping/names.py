"""Any implementation's name of a site, in transformers' terms."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tracetui.analysis.mapping import tables
from tracetui.analysis.mapping.frameworks import framework_site
from tracetui.analysis.mapping.ggml import graph_site
from tracetui.analysis.mapping.spelling import dotted

_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_PREFIX = re.compile(
    r"^(?:module\.|base_model\.model\."
    r"|(?:llm|engine|worker|model_runner)\.(?=(?:model|module|lm_head|logits_processor)(?:[.@#:]|$))"
    r"|model\.(?=(?:model\.(?:layers|embed_tokens|norm|rotary_emb)|model|lm_head|logits_processor|logits)(?:[.@#:]|$)))+"
)
"""What a wrapper puts in front: one `model.` more than there are in transformers' own names is one too."""
_TEXT_MODEL = re.compile(r"^(?:model\.language_model|language_model\.model|text_model)\.")
_SUFFIX = re.compile(r"(?:#\d{1,6})?(?:@\d{1,9}(?:\.\d{1,9})?)?$")
_PART = re.compile(r"#\d{1,6}")
_TENSOR = re.compile(r"\.(?:weight|bias|scales)$")
_TENSORS = ("weight", "bias", "scales", "\n")
"""How a name ends in which that one may be: a name is looked at for every tensor of a file."""
_LAYER = re.compile(r"^(?:model\.)?layers\.(\d{1,6})(.*)$", re.DOTALL)
_BLOCK = re.compile(r"^blk\.(\d{1,6})\.(.+)$")
_LENS = re.compile(r"^blocks\.(\d{1,6})\.(.+)$")
_EXPERT = re.compile(r"^(\w+)\.experts\.(\d{1,6})(?:\.(w[123]))?$")
_OUTSIDE = (
    ("hf", {"embed_tokens": "model.embed_tokens", "rotary_emb": "model.rotary_emb"}),
    ("meta", tables.META_OUTSIDE),
    ("deepseek", tables.DEEPSEEK_OUTSIDE),
    ("gguf", tables.GGUF_OUTSIDE),
    ("lens", tables.LENS_OUTSIDE),
)
_INSIDE = (("meta", tables.META_INSIDE), ("deepseek", tables.DEEPSEEK_INSIDE), ("hf", tables.OLD_INSIDE))
PAIRED = frozenset({"meta", "gguf", "ggml", "torchtune"})
"""Whose q and k rows lie, or may lie, so that RoPE turns adjacent pairs, where transformers turns halves."""
_STEP = 100
_UNRANKED = 6
"""After all that tables know."""
_RANK = {place: _STEP * rank for rank, place in enumerate(tables.ORDER)}
_MIXERS = ("attn", "attention", "mixer", "mamba", "ssm", "conv", "recurr", "temporal", "time_mix", "delta")
_FEED_FORWARDS = ("mlp", "ffn", "feed_forward", "moe", "expert", "channel_mix")
"""Words in what families call the parts of a layer that no table has."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for."""

    site: str
    """In transformers' terms; the name itself where no table has it."""
    naming: str = ""
    """Whose name it is: `hf`, `meta`, `deepseek`, `gguf`, `ggml`, `lens` or a framework's; empty where nobody's is
    known."""


def meaning(name: str, rank: int = 2, others: Collection[str] = ()) -> Meaning:
    """What a tensor's name means; `rank` counts its axes longer than 1, `others` are the names beside it, `uncounted`.

    Calls, parts (`#1`, `@1.0`) and `.weight` are kept at the end.
    """
    found = _meaning(dotted(name), rank, others)
    return found or _meaning(name, rank, others) or Meaning(_plain(name))


def unwrapped(names: Iterable[str]) -> frozenset[str]:
    """The names as they are, and as they would be without what a wrapper puts in front."""
    every = frozenset(names)
    return every | {_plain(name) for name in every}


def _plain(name: str) -> str:
    unwrapped = _WRAPPERS.sub("", name) if "_mod" in name else name
    return _TEXT_MODEL.sub("model.", _PREFIX.sub("", unwrapped))


def _meaning(name: str, rank: int, others: Collection[str]) -> Meaning | None:
    plain = _plain(name)
    tail = _SUFFIX.search(plain) if "#" in plain or "@" in plain else None
    end = tail[0] if tail else ""
    plain = plain.removesuffix(end) if end else plain
    tensor = _TENSOR.search(plain) if plain.endswith(_TENSORS) else None
    if tensor:
        plain, end = plain[: tensor.start()], tensor[0] + end
    part = _PART.search(end)
    if framework := framework_site(plain, part[0] if part else "", others):
        return Meaning(framework[0] + _PART.sub("", end), framework[1])
    if site := graph_site(plain, rank, others):
        # Scripts number llama.cpp's tensors of one name: the projection, and what rotation makes of it.
        return Meaning(site + _PART.sub("", end), "ggml")
    found = _layer(plain) or _block(plain) or _lens(plain) or _outside(plain, others)
    return Meaning(found.site + end, found.naming) if found else None


def _lens(name: str) -> Meaning | None:
    found = _LENS.match(name)
    if found is None or found[2] not in tables.LENS_INSIDE:
        return None
    return Meaning(f"model.layers.{int(found[1])}{tables.LENS_INSIDE[found[2]]}", "lens")


def _outside(name: str, others: Collection[str]) -> Meaning | None:
    if name == "norm" and "result_norm" in others:
        # llama.cpp's own: before the weight is multiplied in.
        return None
    if name in ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head", "logits", "model"):
        return Meaning(name, "hf")
    return next((Meaning(table[name], naming) for naming, table in _OUTSIDE if name in table), None)


def _layer(name: str) -> Meaning | None:
    found = _LAYER.match(name)
    if found is None:
        return None
    layer, inside = f"model.layers.{int(found[1])}", found[2]
    if not inside or inside[0] == ":":
        return Meaning(layer + inside, "hf")
    if inside[0] != ".":
        return None
    path, colon, role = inside[1:].partition(":")
    if expert := _EXPERT.match(path):
        return _expert(layer, expert, f"{colon}{role}")
    for naming, table in _INSIDE:
        if path in table:
            return Meaning(f"{layer}.{table[path]}{colon}{role}", naming)
    return Meaning(f"{layer}{inside}", "hf")


def _expert(layer: str, found: re.Match[str], role: str) -> Meaning | None:
    block = tables.EXPERT_BLOCKS.get(found[1])
    if block is None:
        return None
    part = f".{tables.EXPERT_PARTS[found[3]]}" if found[3] else ""
    naming = {"feed_forward": "meta", "ffn": "deepseek"}.get(found[1], "hf")
    return Meaning(f"{layer}.{block}.experts.{int(found[2])}{part}{role}", naming)


def _block(name: str) -> Meaning | None:
    found = _BLOCK.match(name)
    if found is None or found[2] not in tables.GGUF_INSIDE:
        return None
    return Meaning(f"model.layers.{int(found[1])}.{tables.GGUF_INSIDE[found[2]]}", "gguf")


def execution_rank(site: str) -> tuple[int, int, int]:
    """Where a site of transformers' stands in the order of execution, as far as tables know.

    What they don't know stands before the nearest module around it that they do, modules behind what is in them.
    """
    plain = _SUFFIX.sub("", site)
    if found := _LAYER.match(plain):
        rank = _RANK.get(found[2])
        return (1, int(found[1]), _rank_inside(found[2]) if rank is None else rank)
    order = {"model.embed_tokens": 0, "model.rotary_emb": 0, "model.norm": 2, "model": 3, "lm_head": 4, "logits": 5}
    return (order.get(plain, _UNRANKED), 0, 0)


def has_rank(site: str) -> bool:
    """Whether tables know where in the order of execution a site stands."""
    plain = _SUFFIX.sub("", site)
    found = _LAYER.match(plain)
    return execution_rank(site)[0] < _UNRANKED if found is None else found[2] in _RANK


def _rank_inside(place: str) -> int:
    """The rank of a place in a layer that no table has."""
    depth = min(place.count("."), _STEP // 2)
    around = place
    while around := around.rpartition(".")[0]:
        if around in _RANK:
            return _RANK[around] - depth
    first = place.partition(".")[2].partition(".")[0].lower()
    if any(word in first for word in _FEED_FORWARDS):
        return _RANK[".mlp"] - depth
    return _RANK[":attn_residual" if any(word in first for word in _MIXERS) else ""] - depth


_ENTERED = re.compile(r"\.experts\.\d{1,6}:(in|input)(?=[#@]|$)")
_SAME_VALUES = (
    ("lm_head", "logits"),
    (".self_attn", ".self_attn.o_proj"),
    (".self_attn.v_proj", ".self_attn:v"),
    (".mlp", ".mlp.down_proj"),
    (".mlp.gate", ".mlp:router_logits"),
    (".mlp.router", ".mlp:router_logits"),
    (".mlp.gate", ".mlp.router"),
    (".mlp.gate#1", ".mlp:routing_weights"),
    (".mlp.gate#2", ".mlp:experts"),
)


def aliases(site: str) -> list[str]:
    """Other sites at which the same values are seen, for when one side lacks the site itself."""
    found = []
    for one, other in _SAME_VALUES:
        for here, there in ((one, other), (other, one)):
            if site == here:
                found.append(there)
            elif here[0] == "." and site.endswith(here) and _LAYER.match(site):
                found.append(site.removesuffix(here) + there)
    layer = _LAYER.match(site)
    if layer and (entered := _ENTERED.search(site)):
        # What an expert is given, as its own module's input or as its block tells it.
        found.append(site[: entered.start(1)] + {"in": "input", "input": "in"}[entered[1]] + site[entered.end(1) :])
    if layer and layer[2] == "":
        found.append(f"model.layers.{int(layer[1]) + 1}:input")
    elif layer and layer[2] == ":input":
        found.append(f"model.layers.{int(layer[1]) - 1}" if int(layer[1]) else "model.embed_tokens")
    elif site == "model.embed_tokens":
        found.append("model.layers.0:input")
    return found

"""Norms of families that have them behind sublayers, too: which of transformers' a script's names mean.

`ffn_norm` stands before the feed-forward, and what transformers calls that differs: Gemma's norms after attention have
the name that Llama's norms before the feed-forward have. OLMo 2 has none before its sublayers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from tracetui.analysis.diff.alignment.named import Named
from tracetui.recording.record import plain_site


class _Place(Enum):
    """Where in a layer a norm stands, by the name that a script gives it."""

    BEFORE_ATTENTION = (
        *("attn_norm", "attention_norm", "input_layernorm", "pre_attention_norm", "sa_norm", "norm_1"),
        *("ln1.hook_normalized",),
    )
    AFTER_ATTENTION = (
        *("post_attention_norm", "post_attn_norm", "attn_post_norm", "post_self_attn_layernorm", "post_sa_norm"),
        *("self_attention.linear_proj.post_layernorm", "sa_scale", "ln1_post.hook_normalized"),
    )
    BEFORE_MLP = (
        *("ffn_norm", "feed_forward_norm", "pre_mlp_layernorm", "mlp_norm", "norm_2", "pre_ffw_norm", "pre_ffn_norm"),
        *("pre_feedforward_norm", "pre_mlp_norm", "ln2.hook_normalized"),
    )
    AFTER_MLP = (
        *("post_ffw_norm", "post_ffn_norm", "ffn_post_norm", "post_feed_forward_norm", "post_feedforward_norm"),
        *("post_mlp_layernorm", "post_mlp_norm", "mlp.linear_fc2.post_layernorm", "mlp_scale"),
        *("ln2_post.hook_normalized",),
    )


_LAYER = re.compile(r"(?:^|\.)(?:layers|blocks|blk|h)\.(?P<number>\d{1,6})\.(?P<inside>[^:]+)$")
_BEHIND = {"hook_attn_out": _Place.AFTER_ATTENTION, "hook_mlp_out": _Place.AFTER_MLP}
"""TransformerLens' hooks at what a sublayer adds to the stream: behind its norm, where there is one."""
_PLACES = {name: place for place in _Place for name in place.value}
_Named = Mapping[_Place, str]
_GEMMA: _Named = {
    _Place.BEFORE_ATTENTION: ".input_layernorm",
    _Place.AFTER_ATTENTION: ".post_attention_layernorm",
    _Place.BEFORE_MLP: ".pre_feedforward_layernorm",
    _Place.AFTER_MLP: ".post_feedforward_layernorm",
}
_GLM: _Named = {
    _Place.BEFORE_ATTENTION: ".input_layernorm",
    _Place.AFTER_ATTENTION: ".post_self_attn_layernorm",
    _Place.BEFORE_MLP: ".post_attention_layernorm",
    _Place.AFTER_MLP: ".post_mlp_layernorm",
}
_OLMO: _Named = {
    _Place.AFTER_ATTENTION: ".post_attention_layernorm",
    _Place.AFTER_MLP: ".post_feedforward_layernorm",
}
_AROUND = {_Place.BEFORE_ATTENTION: _Place.AFTER_ATTENTION, _Place.BEFORE_MLP: _Place.AFTER_MLP}
"""OLMo-core calls the norms of a layer by the sublayer that they belong to, before or behind it."""


def place_norms(side: dict[str, Named], others: Mapping[str, Named]) -> None:
    """Put the other side's norms in place of what a side's own names usually mean, where those have other places."""
    names = _names_of(others)
    placed = {site: place for site, named in side.items() if (place := _place(named)) and not named.by_rule}
    if names is None or not placed:
        return
    for site, named in side.items():
        found = _LAYER.search(named.record.site) if named.naming == "lens" and names is not _OLMO else None
        if found is not None and found["inside"] in _BEHIND:
            placed[site] = _BEHIND[found["inside"]]
    meant = set(placed.values())
    moved: dict[str, Named] = {}
    for site, place in placed.items():
        if place not in names:
            place = _AROUND[place]
            if place in meant:
                continue
        named = side.pop(site)
        ending = site[len(plain_site(site)) :]
        there = f"model.layers.{_number(named)}{names[place]}{ending}"
        if there in moved:
            # Of the same norm, not multiplied with its weight yet.
            side[moved[there].record.key] = replace(moved[there], site=moved[there].record.key, naming="")
        moved[there] = replace(named, site=there, naming=named.naming or "norms")
    for site, named in moved.items():
        if site in side:
            own = side.pop(site)
            side[own.record.key] = replace(own, site=own.record.key, naming="")
        side[site] = named


def _names_of(others: Mapping[str, Named]) -> _Named | None:
    """What transformers calls the norms of such a model; None where they stand as in most."""
    leaves = {named.record.site.rpartition(".")[2] for named in others.values()}
    for names in (_GEMMA, _GLM):
        if {names[_Place.AFTER_ATTENTION][1:], names[_Place.BEFORE_MLP][1:], names[_Place.AFTER_MLP][1:]} <= leaves:
            return names
    reordered = all(name[1:] in leaves for name in _OLMO.values()) and "input_layernorm" not in leaves
    return _OLMO if reordered else None


def _place(named: Named) -> _Place | None:
    """The place in a layer that a norm's own name tells; None of any other record."""
    found = _LAYER.search(named.record.site)
    return None if found is None else _PLACES.get(found["inside"])


def _number(named: Named) -> int:
    found = _LAYER.search(named.record.site)
    return int(found["number"]) if found else 0

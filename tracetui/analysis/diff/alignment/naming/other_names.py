"""Pairs of what both sides call otherwise: other sites of the same values, and the names of older families."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from tracetui.analysis.diff.alignment.fused import split_fused
from tracetui.analysis.diff.alignment.likeness import alike, numbers, same_values
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.alignment.naming.norm_inputs import through_norm_inputs
from tracetui.analysis.mapping.families import common_name
from tracetui.analysis.mapping.layouts import SAME, layouts
from tracetui.analysis.mapping.names import aliases
from tracetui.recording.record import layer_of, plain_site
from tracetui.recording.trace import Trace

_RETURNED = {"output": "logits", "logits": "output"}
"""What a whole model returns: a tensor without a name, or its logits."""
_NORMS = (".input_layernorm", ".post_attention_layernorm")
"""Which of its sublayers a norm stands before or behind differs from family to family."""
_BROADCAST = ("mask", "position_bias")
"""Roles of what has an axis of length 1 on one side, and not on the other."""
_FUSED = (".self_attn.qkv_proj", ".mlp.gate_up_proj")
"""What lies kind by kind here, group by group there."""


def through_other_names(
    rest_a: dict[str, Named], rest_b: dict[str, Named], side_b: Mapping[str, Named], a: Trace, b: Trace
) -> Iterator[tuple[Named, Named]]:
    """Pairs among the records that have no pair; they are removed from both rests.

    side_b: all of B's, which tell what layers it has.
    """
    yield from _aliases(rest_a, rest_b, side_b)
    yield from _returned(rest_a, rest_b)
    yield from _of_older_families(rest_a, rest_b, a, b)
    yield from through_norm_inputs(rest_a, rest_b, a, b)


def _aliases(
    rest_a: dict[str, Named], rest_b: dict[str, Named], side_b: Mapping[str, Named]
) -> Iterator[tuple[Named, Named]]:
    layers_b = {layer_of(named.site) for named in side_b.values()}
    for site, named in list(rest_a.items()):
        found = [alias for alias in aliases(site) if alias in rest_b]
        # A layer's input is the output of the one before only where that one was built.
        other = next((alias for alias in found if layer_of(site) in layers_b), None)
        if other is not None:
            yield named, rest_b.pop(other)
            del rest_a[site]


def _returned(rest_a: dict[str, Named], rest_b: dict[str, Named]) -> Iterator[tuple[Named, Named]]:
    for site, named in list(rest_a.items()):
        there = _RETURNED.get(plain_site(site), "") + site.removeprefix(plain_site(site))
        if there in rest_b and _fit(named, rest_b[there]):
            yield named, rest_b.pop(there)
            del rest_a[site]


def _fit(one: Named, other: Named) -> bool:
    if one.record.role == other.record.role and one.record.role in _BROADCAST:
        return True
    return next(layouts(one.record.shape, other.record.shape), None) is not None


def _of_older_families(
    rest_a: dict[str, Named], rest_b: dict[str, Named], a: Trace, b: Trace
) -> Iterator[tuple[Named, Named]]:
    """What would have the same name in transformers' newer families, as `attn.c_attn` and `query_key_value`."""
    side_a, side_b = _by_common_name(rest_a), _by_common_name(rest_b)
    split_fused(side_a, side_b, a, b)
    split_fused(side_b, side_a, b, a)
    found = [(named, side_b[there]) for site, named in side_a.items() if (there := _there(site, side_b))]
    pairs = [(one, other) for one, other in found if not (one.naming and other.naming)]
    places = {_place(one) for one, other in pairs if _fit(one, other) and same_values(one, other, a, b)}
    for one, other in pairs:
        if _fit(one, other) and (_place(one) in places or not _may_differ(one, other, a, b)):
            yield _own(one, other), _own(other, one)
            for side, named in ((rest_a, one), (rest_b, other)):
                for site in [site for site, each in side.items() if each.record is named.record]:
                    del side[site]


def _by_common_name(rest: Mapping[str, Named]) -> dict[str, Named]:
    names = {site: common_name(site) for site in rest}
    counts = Counter(names.values())
    return {name: replace(rest[site], site=name) for site, name in names.items() if counts[name] == 1}


def _there(site: str, side: Mapping[str, Named]) -> str:
    own_layer = (name for name in aliases(site) if layer_of(name) == layer_of(site))
    return next((name for name in (site, *own_layer) if name in side), "")


def _place(named: Named) -> str:
    site = plain_site(named.site)
    return site.removeprefix(f"model.layers.{layer_of(site)}")


def _may_differ(one: Named, other: Named, a: Trace, b: Trace) -> bool:
    """Whether two tensors of one name may be two things, so that values have to tell."""
    place = _place(one)
    return place in _NORMS or (place in _FUSED and _is_reordered(one, other, a, b))


def _is_reordered(one: Named, other: Named, a: Trace, b: Trace) -> bool:
    """Whether both hold the same numbers for each token, in another order."""
    x, y = numbers(a, one.record, one.layout), numbers(b, other.record, other.layout)
    if x is None or y is None:
        return False
    return any(alike(np.sort(x, -1), np.sort(way.apply(y), -1)) for way in layouts(x.shape, y.shape))


def _own(named: Named, other: Named) -> Named:
    """Under its own name again; a piece of a fused tensor under the other side's."""
    pieced = named.layout is not SAME and other.layout is SAME
    return replace(named, site=(other if pieced else named).record.key)

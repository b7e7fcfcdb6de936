"""Paths of one model that one side writes otherwise: layers numbered from 1, or another beginning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from tracetui.analysis.diff.alignment.likeness import alike, numbers
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.frameworks import FRAMEWORK_NAMES
from tracetui.recording.record import Record, layer_of, layer_path
from tracetui.recording.trace import Trace

_CONTAINER = re.compile(r"[^.]+\.\d+$")

_LAYER = re.compile(r"^model\.layers\.(\d+)")
_LOOKED_AT = 12
"""Sites of the first layer that tell whether it is the other side's first."""


def number_from_zero(side: dict[str, Named], other: Mapping[str, Named], own: Trace, theirs: Trace) -> None:
    """Put a plain file's layers 1 to N down as 0 to N - 1, where the other side has these and its numbers say so."""
    layers = _layers(side)
    if not own.dump or not layers or {layer - 1 for layer in layers} != _layers(other):
        return
    if not _agree(side, other, own, theirs, 1) or _agree(side, other, own, theirs, 0):
        return
    moved = {_moved(site): replace(named, site=_moved(named.site)) for site, named in side.items()}
    side.clear()
    side.update(moved)


def _layers(side: Mapping[str, Named]) -> set[int]:
    found = (layer_of(named.site.partition("@")[0]) for named in side.values() if named.naming)
    return {layer for layer in found if layer is not None}


def _moved(site: str, by: int = 1) -> str:
    return _LAYER.sub(lambda found: f"model.layers.{int(found[1]) - by}", site)


def _agree(side: Mapping[str, Named], other: Mapping[str, Named], own: Trace, theirs: Trace, by: int) -> bool:
    """Whether anything in the first layer that the numbering concerns is the other side's."""
    first = min(_layers(side))
    inside = (site for site, named in side.items() if named.naming and layer_of(site.partition("@")[0]) == first)
    shared = ((side[site], other[there]) for site in inside if (there := _moved(site, by)) in other)
    for a, b in islice(shared, _LOOKED_AT):
        one, another = numbers(own, a.record, a.layout), numbers(theirs, b.record, b.layout)
        if one is not None and another is not None and alike(one, another):
            return True
    return False


def stem_of(records: Iterable[Record]) -> str | None:
    """What stands before the layers in a side's paths, as `transformer.`; None where it isn't one for all."""
    paths = {layer_path(record.site) for record in records} - {""}
    stems = {_CONTAINER.sub("", path) for path in paths}
    return stems.pop() if len(stems) == 1 else None


def under_stem(key: str, stem: str, other: str) -> tuple[str, ...]:
    """A key as it would be on a side whose paths begin otherwise, the likeliest first."""
    bare = key.removeprefix(stem)
    return (other + bare, bare)


def name_under_stem(side_a: dict[str, Named], side_b: Mapping[str, Named]) -> None:
    """Give A's modules B's paths where all that is other is what stands before the layers: `h.0.attn` there."""
    stem_a, stem_b = (stem_of(named.record for named in side.values()) for side in (side_a, side_b))
    if stem_a is None or stem_b is None or stem_a == stem_b:
        return
    sites_b = {named.record.key: site for site, named in side_b.items()}
    for site, named in list(side_a.items()):
        if site not in side_b and named.naming not in FRAMEWORK_NAMES:
            paths = under_stem(named.record.key, stem_a, stem_b)
            there = next((sites_b[path] for path in paths if path in sites_b), "")
            if there and there not in side_a:
                del side_a[site]
                side_a[there] = replace(named, site=there, naming="stem")

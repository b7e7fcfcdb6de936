"""Modules of one name that return other tensors: a router its logits alone here, scores and logits there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.diff.alignment.likeness import alike, numbers
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.layouts import layouts
from tracetui.recording.record import layer_of, plain_site
from tracetui.recording.trace import Trace

_PART = re.compile(r"#\d+")
_LOOKED_AT = 2
"""Layers of which the values tell."""
_Parts = dict[int, Named]


def name_parts(side_a: dict[str, Named], side_b: Mapping[str, Named], a: Trace, b: Trace) -> None:
    """Give what A's modules return the places that it has in what B's return, where these are more or fewer tensors.

    Values tell; where they tell nothing, all stays as it is.
    """
    unlike = [each for each in _modules(side_a, side_b) if len(each.own) != len(each.other)]
    by_place: dict[str, list[_Module]] = {}
    for each in unlike:
        by_place.setdefault(each.place, []).append(each)
    for modules in by_place.values():
        found = (_places(each, a, b) for each in modules[:_LOOKED_AT])
        places = next((each for each in found if each), {})
        if any(own != other for own, other in places.items()):
            for each in modules:
                _rename(side_a, each, places)


@dataclass(frozen=True, slots=True)
class _Module:
    """One call of a module that both sides have under one name, by which of what it returned a record is."""

    site: str
    ending: str
    own: _Parts
    other: _Parts

    @property
    def place(self) -> str:
        return self.site.replace(f".{layer_of(self.site)}.", ".{}.", 1)


def _modules(side_a: Mapping[str, Named], side_b: Mapping[str, Named]) -> Iterator[_Module]:
    own, other = _returned(side_a), _returned(side_b)
    for key, parts in own.items():
        if key in other:
            yield _Module(*key, parts, other[key])


def _returned(side: Mapping[str, Named]) -> dict[tuple[str, str], _Parts]:
    found: dict[tuple[str, str], _Parts] = {}
    for site, named in side.items():
        if not (named.record.role or named.by_rule or ":" in site):
            plain, part = plain_site(site), _PART.search(site)
            ending = site[site.index("@") :] if "@" in site else ""
            found.setdefault((plain, ending), {})[int(part[0][1:]) if part else 0] = named
    return found


def _places(module: _Module, a: Trace, b: Trace) -> dict[int, int]:
    """Which of B's tensors each of A's is, as far as they hold the same numbers."""
    found: dict[int, int] = {}
    for part, named in module.own.items():
        like = [at for at, other in module.other.items() if _alike(named, other, a, b)]
        if like and part not in like:
            found[part] = like[0]
        elif like:
            found[part] = part
    return found


def _alike(one: Named, other: Named, a: Trace, b: Trace) -> bool:
    """Whether two tensors hold the same, experts of a token in any order."""
    x, y = numbers(a, one.record, one.layout), numbers(b, other.record, other.layout)
    if x is None or y is None or not x.ndim or x.dtype.kind != y.dtype.kind:
        return False
    ways = (way.apply(y) for way in layouts(x.shape, y.shape))
    return any(alike(np.sort(x, -1), np.sort(each, -1)) for each in ways)


def _rename(side: dict[str, Named], module: _Module, places: Mapping[int, int]) -> None:
    moved = {part: f"{module.site}{f'#{place}' if place else ''}{module.ending}" for part, place in places.items()}
    for part, named in module.own.items():
        if part not in moved and named.site in moved.values():
            # Its place is another's, and its own nobody knows.
            moved[part] = named.record.key if named.record.key not in moved.values() else f"{named.record.key} (own)"
    for part in moved:
        side.pop(module.own[part].site, None)
    side.update({site: replace(module.own[part], site=site) for part, site in moved.items()})

"""Sublayers that add the stream to what they make, beside those of the other side that leave the sum to the layer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tracetui.analysis.diff.alignment.likeness import alike, numbers
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.families import common_name
from tracetui.recording.record import ATTN_RESIDUAL, INPUT, layer_path, plain_site
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

_SUBLAYER = re.compile(r"^(model\.layers\.(\d+))(\.self_attn|\.mlp)$")
_LOOKED_AT = 2
"""Layers that tell how a sublayer returns what it makes: the first may have none of its own."""


def name_own_sums(side_a: dict[str, Named], side_b: dict[str, Named], a: Trace, b: Trace) -> None:
    """Put what BLOOM's and MPT's sublayers return down as the stream, where the other side's return their part."""
    if side_a.keys() == side_b.keys():
        return
    sublayers = _Sublayers(side_a, a), _Sublayers(side_b, b)
    for place in (".self_attn", ".mlp"):
        same_names = not sublayers[0].paths(place).isdisjoint(sublayers[1].paths(place))
        adds = [side.adds(place, same_names) for side in sublayers]
        if None not in adds and adds[0] != adds[1]:
            sublayers[adds.index(True)].name_as_stream(place)


@dataclass(frozen=True, eq=False)
class _Sublayers:
    """A side's records by what transformers' newer families call them."""

    side: dict[str, Named]
    trace: Trace

    @cached_property
    def _named(self) -> Mapping[str, Named]:
        return {common_name(site): named for site, named in self.side.items()}

    def paths(self, place: str) -> set[str]:
        """What the side calls the sublayers at a place."""
        return {named.record.site for named in self._sublayers(place).values()}

    def _sublayers(self, place: str) -> dict[tuple[str, int], Named]:
        """The sublayers at a place, by their layer's path and number."""
        found = ((_SUBLAYER.match(site), named) for site, named in self._named.items())
        return {(match[1], int(match[2])): named for match, named in found if match and match[3] == place}

    def adds(self, place: str, same_names: bool) -> bool | None:
        """Whether the sublayers at a place return the stream with their part in it; None where nothing tells.

        same_names: whether the other side has modules of the same paths, which do the same unless values say otherwise.
        """
        told = (self._adds(*layer, place, same_names) for layer in list(self._sublayers(place))[:_LOOKED_AT])
        return next((each for each in told if each is not None), None)

    def _adds(self, layer: str, number: int, place: str, same_names: bool) -> bool | None:
        unknown = None if same_names else False
        whole, last = self._named[layer + place], self._last_inside(self._named[layer + place])
        if last is not None and self._same(whole, last):
            return False
        streams = [f"{layer}:{ATTN_RESIDUAL}"] if place == ".self_attn" else [layer]
        if any(self._same(whole, self._named[name]) for name in streams if name in self._named):
            return True
        if last is None:
            return None if place == ".self_attn" else unknown
        one, other = self._values(whole), self._values(last)
        if one is None or other is None or one.size != other.size:
            return unknown
        rest = np.subtract(one.reshape(-1), other.reshape(-1), dtype=np.float64)
        return any(alike(rest, stream) for stream in self._entering(layer, number, place)) or unknown

    def _entering(self, layer: str, number: int, place: str) -> Iterator[Array]:
        """The stream before a sublayer, as far as it was recorded."""
        before = f"model.layers.{number - 1}" if number else "model.embed_tokens"
        names = [f"{layer}:{INPUT}", before] if place == ".self_attn" else [f"{layer}:{ATTN_RESIDUAL}"]
        found = (self._values(self._named[name]) for name in names if name in self._named)
        return (values for values in found if values is not None)

    def _values(self, named: Named) -> Array | None:
        return numbers(self.trace, named.record, named.layout)

    def _same(self, one: Named, other: Named) -> bool:
        values = [self.trace.value(each.record) for each in (one, other)]
        return values[0] is values[1] or values[0].statistics() == values[1].statistics()

    def _last_inside(self, named: Named) -> Named | None:
        """What the last module in a sublayer returned, if that is as large."""
        inside = (
            each
            for each in self.side.values()
            if each.record.module.startswith(f"{named.record.module}.")
            and not (each.record.role or each.record.part)
            and each.record.numel == named.record.numel
            and each.record.index < named.record.index
        )
        return max(inside, key=lambda each: each.record.index, default=None)

    def name_as_stream(self, place: str) -> None:
        """Put the sublayers' outputs in the place of the stream after them; left out where that was recorded."""
        ends = {site: named for site, named in self.side.items() if common_name(plain_site(site)).endswith(place)}
        for site, named in ends.items():
            if named.record.role or named.record.part or not _SUBLAYER.match(common_name(plain_site(site))):
                continue
            layer = layer_path(plain_site(site))
            stream = (f"{layer}:{ATTN_RESIDUAL}" if place == ".self_attn" else layer) + site.removeprefix(
                plain_site(site)
            )
            del self.side[site]
            if stream not in self.side:
                self.side[stream] = replace(named, site=stream)

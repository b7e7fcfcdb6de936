"""Fused tensors that the other side has apart: which of their columns are q, k and v is for values to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, permutations
from math import gcd

import numpy as np

from tracetui.analysis.diff.alignment.likeness import alike, numbers
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.layouts import Layout, layouts, part
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

_FUSED = {
    ".self_attn.qkv_proj": (".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj"),
    ".mlp.gate_up_proj": (".mlp.gate_proj", ".mlp.up_proj"),
}


@dataclass(frozen=True, slots=True)
class _Cut:
    """How the last axis holds its pieces: in which order, and in how many groups that hold a share of each."""

    order: tuple[int, ...]
    groups: int = 1

    def layouts(self, widths: Sequence[int], name: str) -> list[Layout]:
        """What takes each piece out, in the pieces' own order."""
        shares = [widths[place] // self.groups for place in self.order]
        starts = dict(zip(self.order, accumulate(shares, initial=0), strict=False))
        return [self._piece(starts[place], width, sum(widths), name) for place, width in enumerate(widths)]

    def _piece(self, start: int, width: int, whole: int, name: str) -> Layout:
        if self.groups == 1:
            return part(start, width, f"columns {start} to {start + width - 1} of {name}")
        share, groups = width // self.groups, self.groups

        def taken(array: np.ndarray) -> np.ndarray:
            if not array.ndim or array.shape[-1] != whole:
                return array
            split = array.reshape(*array.shape[:-1], groups, whole // groups)[..., start : start + share]
            return split.reshape(*array.shape[:-1], width)

        return Layout(f"columns {start} to {start + share - 1} of each of {groups} groups of {name}", taken)


@dataclass(frozen=True, slots=True)
class _Fused:
    named: Named
    pieces: tuple[str, ...]
    widths: tuple[int, ...]

    def layouts(self, cut: _Cut) -> list[Layout]:
        return cut.layouts(self.widths, self.named.site.rpartition(".")[2])


def split_fused(side: dict[str, Named], other: Mapping[str, Named], own: Trace, theirs: Trace) -> None:
    """Replace a fused tensor by q, k and v where the other side has them apart; the other side gives the widths."""
    known: dict[tuple[int, ...], _Cut] = {}
    found = list(_fused(side, other))
    for fused in found:
        if fused.widths not in known and (cut := _cut(fused, other, own, theirs)) is not None:
            known[fused.widths] = cut
    for fused in found:
        cut = known.get(fused.widths, _plain(fused))
        del side[fused.named.site]
        for piece, layout in zip(fused.pieces, fused.layouts(cut), strict=True):
            side[piece] = replace(fused.named, site=piece, layout=fused.named.layout.then(layout))


def _fused(side: Mapping[str, Named], other: Mapping[str, Named]) -> Iterator[_Fused]:
    for site, named in side.items():
        place = next((place for place in _FUSED if site.endswith(place)), "")
        pieces = tuple(site.removesuffix(place) + piece for piece in _FUSED.get(place, ()))
        if not pieces or site in other or not all(piece in other for piece in pieces):
            continue
        shapes = [other[piece].record.shape for piece in pieces]
        widths = tuple(shape[-1] if shape else 0 for shape in shapes)
        if all(widths) and named.record.shape and named.record.shape[-1] == sum(widths):
            yield _Fused(named, pieces, widths)


def _plain(fused: _Fused) -> _Cut:
    return _Cut(tuple(range(len(fused.pieces))))


def _cut(fused: _Fused, other: Mapping[str, Named], own: Trace, theirs: Trace) -> _Cut | None:
    """The first cut that gives the other side's pieces; None if none does here (another layer may tell)."""
    whole = numbers(own, fused.named.record, fused.named.layout)
    apart = [numbers(theirs, other[piece].record, other[piece].layout) for piece in fused.pieces]
    if whole is None or any(piece is None for piece in apart):
        return None
    for cut in _cuts(fused):
        pieces = (layout.apply(whole) for layout in fused.layouts(cut))
        if all(piece is not None and _alike(one, piece) for one, piece in zip(pieces, apart, strict=True)):
            return cut
    return None


def _alike(piece: Array, other: Array) -> bool:
    """Whether a piece equals the other side's tensor, as it is or with tokens and batch arranged as there."""
    ways = layouts(other.shape, piece.shape) if piece.shape != other.shape else ()
    return alike(piece, other) or any(alike(way.apply(piece), other) for way in ways)


def _cuts(fused: _Fused) -> Iterator[_Cut]:
    """One piece after the other, then in other orders, then by groups, as many as go into all widths."""
    common = gcd(*fused.widths)
    for groups in (number for number in range(1, common + 1) if common % number == 0):
        for order in permutations(range(len(fused.pieces))):
            yield _Cut(order, groups)

"""How far apart a tensor may be by what feeds it, though that agrees: operations that make much of rounding."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tracetui.analysis.diff.arrays import Both, both
from tracetui.analysis.diff.distances.rows import SHARE, Floats
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.routing.routed import chooses, is_expert

_ENTERED = "in"
"""The role of the rows that an expert is given."""
_FEW = 4
"""The fewest rows that are judged: of fewer, all may by chance show too little of how the operation amplifies rounding.
A row shows that by chance at least once in so many times."""
_GATED = 2.0
"""How much more an expert amplifies its input's rounding than its input: gate and up, which are multiplied, both carry
that rounding."""
_MOST_ROWS = 256
"""Of one tensor that are looked into."""
_SIGMAS = 3.0
"""Standard deviations by which chance may make more of a row's rounding than is usual."""
_ONE_CHANNEL = 0.05
"""The largest share of an output that may be left unexplained when one channel is taken to make it."""


def is_whole(site: SiteDiff) -> bool:
    """Whether a tensor holds whole numbers or booleans on both sides, as choices and counts do."""
    tolerance = site.tolerance
    return tolerance is not None and tolerance.exact


def rests_on_rounding(site: SiteDiff, fed: Feeds) -> bool:
    """Whether differing whole numbers were computed from numbers that agree, but not bit for bit.

    Choices of experts don't count: they are judged elsewhere.
    """
    return (
        is_whole(site)
        and not chooses(site.site)
        and any(
            found.distance is not None and found.distance.relative > 0 and not is_whole(found) for found in fed.found
        )
    )


def is_brought(comparison: Comparison, site: SiteDiff, fed: Feeds) -> bool:
    """Whether the rounding of a site's inputs can explain how far its worst row is off.

    Where terms cancel, an operation that makes rows of length 74 and 5 from equally long ones amplifies both rows'
    rounding equally.
    """
    output = _finite(comparison, site)
    return output is not None and _are_brought(comparison, site, fed, output, [_worst(output.rows(), site)])


def all_brought(comparison: Comparison, site: SiteDiff, fed: Feeds) -> bool:
    """Whether the rounding of a site's inputs can explain every row that is off by more than the tolerance."""
    output, tolerance = _finite(comparison, site), site.tolerance
    if output is None or tolerance is None:
        return False
    rows = output.rows()
    apart, norms = _norms(rows.a - rows.b), _norms(rows.b)  # [rows]
    beyond = apart > tolerance.of_row(*rows.b.shape) * np.maximum(norms, np.median(norms))
    beyond[_worst(rows, site)] = True
    off = np.flatnonzero(beyond).tolist()
    return len(off) <= _MOST_ROWS and _are_brought(comparison, site, fed, output, off)


def _finite(comparison: Comparison, site: SiteDiff) -> Both | None:
    """A site's numbers on both sides; None where they can't tell anything of rounding."""
    distance, tolerance = site.distance, site.tolerance
    if distance is None or distance.unlike or tolerance is None or tolerance.exact:
        return None
    output = both(comparison, site)
    if output is None or output.a.ndim < 2 or not np.isfinite(output.a).all() or not np.isfinite(output.b).all():
        return None
    return output


def _are_brought(comparison: Comparison, site: SiteDiff, fed: Feeds, output: Both, which: Sequence[int]) -> bool:
    """Whether some of a site's rows are off by no more than its inputs' rounding may make."""
    assert site.tolerance is not None
    rtol, siblings = site.tolerance.rtol, list(_siblings(comparison, site))
    times = _GATED if is_expert(site.site) and not site.pair.record.role else 1.0
    entering = [_heads_apart(output, both(comparison, found)) for found in fed.found]
    rows = output.rows()
    apart = _norms(rows.a - rows.b)  # [rows]
    for row in which:
        allowed = times * sum(_allowed(rows, each, row, rtol, siblings) for each in entering)
        if apart[row] > allowed and apart[row] > allowed + sum(_through_channel(rows, each, row) for each in entering):
            return False
    return True


def _heads_apart(output: Both, fed: Both | None) -> Both | None:
    """An input [B,T,H·K] or [B,T,H,K] whose heads stand as those of an output [B,H,T,K]; any other as it is."""
    shape = output.b.shape
    if fed is None or output.b.ndim != 4 or fed.b.size != output.b.size or fed.b.shape[:2] != (shape[0], shape[2]):
        return fed
    apart = (side.reshape(shape[0], shape[2], shape[1], shape[3]).swapaxes(1, 2) for side in (fed.a, fed.b))
    return Both(*apart)


def _worst(rows: Both, site: SiteDiff) -> int:
    """The row that is furthest apart."""
    assert site.distance is not None
    if site.distance.row is None:
        return 0
    index, shape = site.distance.row.index, site.pair.record.shape
    leading = shape[:-1] if math.prod(shape[:-1]) == len(rows.b) else ()
    known = len(index) == len(leading) and all(place < size for place, size in zip(index, leading, strict=True))
    return int(np.ravel_multi_index(index, leading)) if known and index else int(_norms(rows.a - rows.b).argmax())


def _siblings(comparison: Comparison, site: SiteDiff) -> Iterator[Floats]:
    """Of the other experts of a block, how much longer than what enters each row comes out [n]; one has few rows."""
    block, _, number = site.site.partition("@")[0].rpartition(".")
    if not (number.isdecimal() and is_expert(site.site)):
        return
    for name, place in comparison.places.items():
        if name.rpartition(".")[0] == block and (entered := comparison.places.get(f"{name}:{_ENTERED}")) is not None:
            output, entering = (both(comparison, comparison.sites[at]) for at in (place, entered))
            if output is not None and entering is not None and len(output.b) == len(entering.b):
                norms = _norms(entering.rows().b)
                yield np.divide(_norms(output.rows().b), norms, out=np.zeros_like(norms), where=norms > 0)


def _allowed(output: Both, fed: Both | None, row: int, rtol: float, siblings: Sequence[Floats] = ()) -> float:
    """How far apart rounding of one input may take a row, by how much longer rows of this length come out.

    Where the input has other rows, by the longest of both, and the rounding of the worst.
    """
    if fed is None or fed.a.ndim < 2 or not np.isfinite(fed.a).all():
        return 0.0
    entering = fed.rows()
    norms, made = _norms(entering.b), _norms(output.b)  # [rows]
    apart = _norms(entering.a - entering.b)  # [rows]
    if norms.size != made.size:
        gain = float(made.max()) / float(norms.max()) if norms.any() else 0.0
        return gain * float(apart.max() + rtol * norms.max())
    like = (norms >= SHARE * norms[row]) & (norms > 0)
    own = made[like] / norms[like]
    gains = np.concatenate([own, *siblings])
    gain = max(float(some.max(initial=0.0)) * (1 + _FEW / max(1, some.size)) for some in (own, gains))
    usual = float(np.sqrt(np.square(gains).mean())) if gains.size else 0.0
    gain = max(gain, usual * (1 + _SIGMAS / math.sqrt(channels(output.b))))
    return gain * float(apart[row] + rtol * norms[row])


def channels(output: Floats) -> float:
    """Of how many channels an output [rows,channels] is made: 1 where one is all that counts.

    By so few numbers a row comes out longer or shorter than usual by chance.
    """
    squares = np.einsum("ij,ij->j", output, output)
    total = float(np.square(squares).sum())
    return float(np.square(squares.sum())) / total if total else 1.0


def _through_channel(output: Both, fed: Both | None, row: int) -> float:
    """How far one channel of an input takes a row, where next to all of the output is that channel times a vector.

    In a model with massive activations a weight's column is so large that its channel's rounding is all that counts.
    """
    if fed is None or fed.a.ndim < 2 or fed.a.shape[:-1] == () or not np.isfinite(fed.a).all():
        return 0.0
    entering = fed.rows()
    if len(entering.b) != len(output.b) or len(output.b) < _FEW:
        return 0.0
    along = output.b @ np.linalg.svd(output.b, full_matrices=False)[2][0]  # [rows]
    squares = np.einsum("ij,ij->j", entering.b, entering.b)  # [channels]
    times = np.divide(along @ entering.b, squares, out=np.zeros_like(squares), where=squares > 0)  # [channels]
    channel = int(np.abs(times * np.sqrt(squares)).argmax())
    left = np.linalg.norm(along - times[channel] * entering.b[:, channel])
    if left > _ONE_CHANNEL * np.linalg.norm(along):
        return 0.0
    return float(abs(times[channel] * (entering.a - entering.b)[row, channel]))


def _norms(rows: Floats) -> Floats:
    norms: Floats = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return norms

"""Which positions of the tokens the places of a compared tensor's axes are, whatever pass or part of a run it is of."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.analysis.axes import axis_positions
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.routing.routed import token_of_row
from tracetui.analysis.mapping.layouts import SAME

_QUERIES = ("T", "N")


def first_position(comparison: Comparison, site: SiteDiff, axis: int, name: str) -> int | None:
    """The position of an axis' first compared place; None where its places are no positions, or nobody knows which.

    A side that has the last positions only, as logits may, is compared there alone.
    """
    return max(_firsts(comparison, site, axis, name), default=None)


def place_in_expert(comparison: Comparison, site: SiteDiff, row: int) -> tuple[int, int] | None:
    """The prompt and the position of the token that a compared row of an expert's is of; None where nobody knows."""
    trace = comparison.a if comparison.a.tokens else comparison.b
    token = token_of_row(comparison.a, comparison.b, site.pair, row) if trace.tokens and site.layout is SAME else None
    if token is None:
        return None
    positions = trace.positions(site.pair.record.pass_)
    prompt, place = divmod(token, max(1, len(positions)))
    return (prompt, positions.start + place) if prompt < len(trace.tokens) else None


def _firsts(comparison: Comparison, site: SiteDiff, axis: int, name: str) -> Iterator[int]:
    laid_out = site.layout is not SAME or any(side.layout is not SAME for side in (site.pair.a, site.pair.b))
    sides = [(comparison.a, site.pair.record)]
    if not laid_out and len(site.pair.b.record.shape) == len(site.pair.a.record.shape):
        sides.append((comparison.b, site.pair.b.record))
    for trace, record in sides:
        length = record.shape[axis] if axis < len(record.shape) else 0
        positions = axis_positions(name, length, trace, record.pass_)
        if positions is not None:
            yield positions.start
        elif name in _QUERIES and len(trace.tokens) == 1 and 0 < length < len(trace.positions(record.pass_)):
            yield trace.positions(record.pass_).stop - length

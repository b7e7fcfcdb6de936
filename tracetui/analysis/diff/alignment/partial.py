"""A run of some of the other's positions: the last ones, on top of a cache, or one that a script kept."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from tracetui.analysis.diff.alignment.likeness import numbers
from tracetui.analysis.mapping.layouts import SAME
from tracetui.analysis.mapping.names import meaning
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

_ALIKE = 0.1
"""|a - b|/|b| of rows that are taken for the same token's, on average; other tokens' are more than 1 apart."""
_LOOKED_AT = 8
"""Tensors that are asked where the positions lie."""


def place_of_part(part: Trace, whole: Trace, width: int, all_positions: int) -> int | None:
    """How many of the other side's positions precede those of a shorter run; None where nothing tells.

    Token ids tell it if the keys of the earlier positions are there too; in a plain file the values of each position
    do.
    """
    if part.tokens and whole.tokens:
        return _by_tokens(part, whole)
    return _by_values(part, whole, width, all_positions)


def _by_tokens(part: Trace, whole: Trace) -> int | None:
    rows = [[[token.id for token in row] for row in trace.tokens] for trace in (part, whole)]
    if len(rows[0]) != len(rows[1]) or len({len(row) for row in (*rows[0], *rows[1])}) > 2:
        return None
    past = len(rows[1][0]) - len(rows[0][0])
    ends = all(row and other[-len(row) :] == row for row, other in zip(*rows, strict=True))
    keys = [record.shape[-2] for record in part.records if record.role == "k" and len(record.shape) == 4]
    return past if past > 0 and ends and max(keys, default=0) == len(rows[1][0]) else None


def _by_values(part: Trace, whole: Trace, width: int, all_positions: int) -> int | None:
    """Where the rows of most tensors [B,T,D] are nearest to those of the whole, if they are near anywhere."""
    distances = [
        found
        for one, other in islice(_shared(part, whole, width, all_positions), _LOOKED_AT)
        if (found := _distances(one, other)) is not None
    ]
    if not distances:
        return None
    total = np.mean(distances, axis=0)  # [offsets]
    nearest = int(np.flatnonzero(total <= total.min() + 1e-9)[-1])
    return nearest if distances[0][nearest] < _ALIKE else None


def _shared(part: Trace, whole: Trace, width: int, all_positions: int) -> Iterator[tuple[Array, Array]]:
    """Values [B,T,D] of the same names, in order of execution."""
    theirs = {meaning(record.key, 3, set()).site: record for record in whole.records if not record.role}
    for record in part.records:
        other = theirs.get(meaning(record.key, 3, set()).site)
        if other is None or not _is_rows(record, width) or not _is_rows(other, all_positions):
            continue
        one, another = numbers(part, record, SAME), numbers(whole, other, SAME)
        if one is not None and another is not None and record.shape[::2] == other.shape[::2]:
            yield one.astype(np.float64), another.astype(np.float64)


def _is_rows(record: Record, width: int) -> bool:
    return not record.role and not record.pass_ and len(record.shape) == 3 and record.shape[1] == width


def _distances(one: Array, other: Array) -> Array | None:
    """|a - b|/|b| with each number of positions before [offsets]; None where there is no number."""
    width = one.shape[1]
    parts = [other[:, at : at + width] for at in range(other.shape[1] - width + 1)]
    found = np.array([np.linalg.norm(one - part) / max(float(np.linalg.norm(part)), 1e-30) for part in parts])
    return found if np.isfinite(found).all() else None

"""How large the residual stream is for an ordinary token: one massive token makes up nearly all of the whole norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tracetui.analysis.distribution.bit_counts import Floats
from tracetui.analysis.residual import ResidualPoint, residual_norms, residual_points
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Index, NotKeptError

MOST_TOKENS = 256
"""Tokens of which a median is taken; of more, so many at even distances."""


class ResidualMeasure(StrEnum):
    """What is said of the stream at each place."""

    MEDIAN = "median"
    """The median over tokens of a token's norm."""
    SINGLE = "single"
    """The norm of one token."""
    WHOLE = "whole"
    """The norm over all tokens, where values were not kept."""


@dataclass(frozen=True, slots=True)
class ResidualSizes:
    """The stream's size at each place, all of them by one measure."""

    points: tuple[ResidualPoint, ...] = ()
    """With that size as their `l2`."""
    measure: ResidualMeasure = ResidualMeasure.MEDIAN
    token: int = -1
    """The position of the one token."""
    sampled: bool = False
    """Whether the median is of some tokens only."""


NO_SIZES = ResidualSizes()


def residual_sizes(
    trace: Trace, row: int = 0, token: int = -1, known: Sequence[ResidualPoint] = (), pass_: int = 0
) -> ResidualSizes:
    """The median over a prompt's tokens at the recorded places of a pass, or one token's norm where one is chosen.

    token: its position; the median where the pass has no such one. The search goes on after the points in `known`,
    which must be of the same measure. Where any place has no values, all have the norm over all tokens.
    """
    taken = _Taken.of(trace, row, token, pass_)

    def size_of(record: Record) -> float | None:
        norms = taken.norms(trace, record)
        # Of tokens that no sample holds, too, one must be told that they are lost.
        lost = taken.token < 0 and taken.rows == 1 and not trace.statistics(record).finite
        return math.nan if lost or not np.isfinite(norms).all() or not norms.size else float(np.median(norms))

    try:
        points = residual_points(trace, size_of, known, pass_)
    except NotKeptError:
        return ResidualSizes(residual_norms(trace, row, pass_=pass_), ResidualMeasure.WHOLE)
    if taken.token >= 0:
        return ResidualSizes(points, ResidualMeasure.SINGLE, token)
    return ResidualSizes(points, sampled=taken.real > MOST_TOKENS)


@dataclass(frozen=True, slots=True)
class _Taken:
    """Which tokens of a pass are looked at."""

    row: int
    rows: int
    length: int
    """Positions that the pass computed; 0 where the trace doesn't know."""
    real: int
    """How many of these are the prompt's own, the first ones."""
    token: int
    """The one token, counted from the pass' first; -1 for all."""

    @classmethod
    def of(cls, trace: Trace, row: int, token: int, pass_: int) -> _Taken:
        positions = trace.positions(pass_)
        real = trace.prompt_lengths[row] if not pass_ and row < len(trace.tokens) else len(positions)
        chosen = token - positions.start
        return cls(row, max(1, len(trace.tokens)), len(positions), real, chosen if 0 <= chosen < real else -1)

    def norms(self, trace: Trace, record: Record) -> Floats:
        """Of these tokens [t], over all streams of a record [B,T,D], [B,T,n,D] or [n,B,T,D].

        Raises NotKeptError where it has no values, or another form.
        """
        behind = len(record.shape) == 4 and record.shape[1:3] == (self.rows, self.length)
        if not (behind or len(record.shape) in (3, 4)) or record.shape[int(behind)] != self.rows:
            raise NotKeptError("a residual stream without tokens")
        length = record.shape[1 + behind]
        if self.length not in (0, length):
            raise NotKeptError("a residual stream of other tokens")
        index: Index = (slice(None), self.row, self._part(length)) if behind else (self.row, self._part(length))
        values = trace.value(record).read(index).astype(np.float64)  # [t,D], [t,n,D] or [n,t,D]
        flat = np.moveaxis(values, int(behind), 0).reshape(values.shape[int(behind)], -1)  # [t,D] or [t,n·D]
        with np.errstate(over="ignore", invalid="ignore"):
            norms: Floats = np.sqrt(np.square(flat).sum(axis=1))  # [t]
        return norms

    def _part(self, length: int) -> slice:
        if self.token >= 0:
            return slice(self.token, self.token + 1)
        real = self.real if self.length else length
        return slice(0, real, math.ceil(max(real, 1) / MOST_TOKENS))

"""One matrix of one record, and the parts of it that have been read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.analysis.axes import Axis
from tracetui.debugger.readings.planes import Plane
from tracetui.debugger.state import NO_RECORD
from tracetui.recording.health import HIDING
from tracetui.recording.record import Record
from tracetui.recording.trace import EMPTY_TRACE, Trace
from tracetui.recording.value import Array, NotKeptError, Value, magnitudes
from tracetui.views.place import noun

_TOKEN_AXES = ("T", "S")
_MOST_FOR_NORMS = 2**21
"""Numbers of the rows around the view."""


@dataclass(frozen=True, eq=False, slots=True)
class Subject:
    """What the table shows: one matrix of one record, with the names of its rows and columns."""

    trace: Trace
    record: Record
    plane: Plane
    row_labels: tuple[str, ...] = ()
    column_labels: tuple[str, ...] = ()
    first: tuple[int, int] = (0, 0)
    """The positions that the first row and column stand for, where these are tokens; else 0."""

    @property
    def of(self) -> tuple[int, Plane]:
        """Which matrix of the trace it is."""
        return self.record.index, self.plane

    @property
    def has_norms(self) -> bool:
        """Whether a row is a token, and has a size."""
        sized = not self.record.dtype.startswith(("int", "uint", "bool")) and self.record.role not in HIDING
        return sized and self.plane.rows.name == "T" and self.plane.columns.name != "S"

    @property
    def counts_tokens(self) -> bool:
        """Whether a row stands for a position of the prompt, or of what was generated."""
        return self.plane.rows.name in _TOKEN_AXES or (self.plane.rows.name == "N" and len(self.trace.tokens) == 1)

    @property
    def row_name(self) -> str:
        """What a row is: `token`, `key`, `row`."""
        return "token" if self.plane.rows.name == "N" and self.counts_tokens else noun(self.plane.rows.name, "row")

    def position(self, row: int) -> int | None:
        """The position of the prompt that a row stands for; None where rows are no tokens."""
        return row + self.first[0] if self.counts_tokens else None


NO_SUBJECT = Subject(EMPTY_TRACE, NO_RECORD, Plane(Axis("", 0), Axis("", 0)))


@dataclass(frozen=True, eq=False, slots=True)
class Chunk:
    """A part of the subject's matrix that has been read."""

    subject: Subject
    row0: int
    column0: int
    numbers: Array
    missing: bool = False
    """Whether the values were not kept, and there is nothing to read."""
    norms: Array | None = None
    """Of the whole rows [rows], where these are tokens and not too large."""


NO_CHUNK = Chunk(NO_SUBJECT, 0, 0, np.zeros((0, 0), np.float32))


def read_chunk(subject: Subject, rows: slice, columns: slice) -> Chunk:
    """Some rows and columns of a matrix, with the norms of the rows."""
    value = subject.trace.value(subject.record)
    try:
        numbers = subject.plane.read(value, rows, columns)
        return Chunk(subject, rows.start, columns.start, numbers, norms=_row_norms(subject, value, rows))
    except NotKeptError:
        return Chunk(subject, 0, 0, NO_CHUNK.numbers, missing=True)


def _row_norms(subject: Subject, value: Value, rows: slice) -> Array | None:
    """Of whole rows [rows], in float64; None where they are no tokens, or too many numbers to read for it."""
    width = subject.plane.shape[1]
    if not subject.has_norms or width * (rows.stop - rows.start) > _MOST_FOR_NORMS:
        return None
    wide = magnitudes(subject.plane.read(value, rows, slice(0, width))).astype(np.float64)  # [rows, columns]
    with np.errstate(over="ignore", invalid="ignore"):
        norms: Array = np.sqrt(np.square(wide).sum(axis=1))
    return norms

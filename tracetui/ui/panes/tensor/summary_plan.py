"""How many rows each part of the summary of a tensor gets, and where its histogram stands."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.views.pixels.sketch import CellArea

TABLE = 46
"""Cells of a table with three columns."""
_SIDE_BY_SIDE = 76
_ROWS, NARROW_ROWS = 4, 6
"""Of three columns, and of two where three would cut their numbers."""


@dataclass(frozen=True, slots=True)
class SummaryPlan:
    """How many rows each part gets."""

    facts: int
    rows: int
    """Of the table."""
    side: bool
    """Whether the histogram stands beside the table."""
    histogram: int
    outliers: int
    """Whether a line has room that says where the largest element is."""
    air: int

    @property
    def height(self) -> int:
        return self.facts + self.rows + self.histogram + self.outliers + 2 * self.air

    def histogram_area(self, width: int) -> CellArea:
        """Where the histogram and its axis stand in a summary of this width; of no height where they have no room."""
        top = self.facts + self.air
        if self.side:
            return CellArea(TABLE + 2, top, width - TABLE - 3, self.rows)
        return CellArea(1, top + self.rows, width - 2, self.histogram)


def summary_plan(width: int, screen: int, brief: bool) -> SummaryPlan:
    """What has room: on a low screen the values below matter more than the histogram, and a map more than both."""
    side = width >= _SIDE_BY_SIDE
    histogram = 0 if side or screen < 20 else (5 if screen >= 30 else 3)
    rows = _ROWS if width >= TABLE or screen < 20 else NARROW_ROWS
    low = screen < 20
    if brief and screen < 30:
        return SummaryPlan(2 if low else 3, 0, False, 0, outliers=int(not low), air=0)
    return SummaryPlan(2 if low else 3, rows, side, histogram, outliers=int(not low), air=int(screen >= 30))

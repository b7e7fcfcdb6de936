"""The lines of the tree of two traces: a mark and a number for how far apart, the name, what B calls it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.cells import cell_len

from tracetui.analysis.diff.tree import Standing, TreeRow
from tracetui.text import visible
from tracetui.views.cells import bar, column, fit

MARKS = {
    Standing.SKIPPED: "·",
    Standing.AHEAD: "…",
    Standing.AGREES: "✓",
    Standing.ONLY_A: "◁",
    Standing.ONLY_B: "▷",
    Standing.SHAPES: "≠",
    Standing.DIFFERS: "✗",
    Standing.MADE: "◆",
}
_WORDS = {
    Standing.SKIPPED: "not compared",
    Standing.AHEAD: "not run yet",
    Standing.ONLY_A: "only A",
    Standing.ONLY_B: "only B",
    Standing.SHAPES: "shapes",
}
_OTHER_FROM = 60
"""Cells from which on there is room for what B calls it."""
_DECADES = 7
_BAR = 4
"""Cells of a bar."""
_BAR_FROM = 40
"""Cells from which on there is room for bars."""
_NUMBER = 18 + _BAR + 1
"""Cells of ` 99,999 off ██▌  2.3e-02`, so that what stands before it is in one column."""
BARS = "bars: log, 1e-7 to 1"
"""What the bars mean."""
_SMALL, _LARGE = 1e-3, 1e-1


@dataclass(frozen=True, slots=True)
class RowText:
    """A line in four pieces that together take exactly its width."""

    mark: str
    name: str
    other: str
    """What B calls it; empty where there is no room."""
    number: str


def row_text(row: TreeRow, width: int, named: bool = True) -> RowText:
    """One line of the tree in `width` cells; `named`: some of B's names are its own."""
    node = row.node
    number = _number(row, _BAR if width >= _BAR_FROM else 0)
    fold = "▾ " if row.open else "▸ " if node.children else "  "
    mark = f"{MARKS[_standing(row)]} "
    beside = max(8, (width - _NUMBER) * 2 // 5) if named and width >= _OTHER_FROM else 0
    # B's names stand below each other, however long the numbers are.
    room = max(4, width - cell_len(mark) - max(cell_len(number), _NUMBER if beside else 0))
    number = number.rjust(width - cell_len(mark) - room)
    name = fit(f"{' ' * row.depth}{fold}{node.name}", room - beside)
    other = fit(f"│ {_end(node.other, beside - 3)}" if node.other else "│", beside) if beside else ""
    return RowText(mark, name, other, number)


def _standing(row: TreeRow) -> Standing:
    """What is folded away counts; of an open line its own."""
    return row.node.own if row.open and row.node.site else row.node.standing


def _end(text: str, width: int) -> str:
    """The end of a long name: it is what tells."""
    shown = visible(text)
    return shown if cell_len(shown) <= width else f"…{shown[-max(1, width - 1) :]}"


def _number(row: TreeRow, room: int) -> str:
    """`12 off ██▌  2.3e-02` of what is folded, `██▌  2.3e-02` of one site; words where nothing was measured.

    room: cells of the bar.
    """
    node = row.node
    folded = bool(node.children) and not row.open
    distance = node.worst if folded else node.relative
    standing = _standing(row)
    if distance is None or standing in _WORDS:
        words = _WORDS.get(standing, "")
        return f" {words}" if words and not (row.open and not node.site) else ""
    count = f"{node.apart:,} off " if folded and node.apart else ""
    drawn = (bar(_height(distance), room) if room else level(distance)) if standing >= Standing.SHAPES else ""
    return f" {count}{drawn:<{max(1, room)}}{scientific(distance):>{8 if room else 7}}"


def level(distance: float) -> str:
    """A distance as one block where there is room for no bar, on the same scale: a decade more is an eighth higher."""
    return column(max(1, round(8 * _height(distance))), 0)


def strength(distance: float) -> int:
    """How much a difference is: 0 small, 1 plain, 2 large."""
    return 0 if distance < _SMALL else 1 if distance < _LARGE else 2


def _height(distance: float) -> float:
    if math.isnan(distance):
        return 1.0
    return max(0.0, min(1.0, 1 + math.log10(distance) / _DECADES)) if distance > 0 else 0.0


def scientific(distance: float) -> str:
    """In at most seven cells: `2.3e-02`, `0`, `inf`."""
    return f"{distance:.1e}" if 0 < distance < math.inf else f"{distance:g}"

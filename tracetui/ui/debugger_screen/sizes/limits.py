"""Sizes in thousandths of a room, and in its cells."""

from __future__ import annotations

from tracetui.debugger.memory.note import THOUSAND, PaneSizes

_COLUMNS, _EXPERTS = 500, 375
"""Where the grid's dividers stand at first."""


def thousandths(cells: int, room: int) -> int:
    return round(THOUSAND * cells / max(1, room))


def cells_of(size: int | None, room: int) -> int:
    """How many cells; 0 where there is no size."""
    return round((size or 0) * room / THOUSAND)


def between(value: int, least: int, most: int) -> int:
    """The value within its limits; the least one where there is room for neither."""
    return max(least, min(most, value))


def shares(sizes: PaneSizes, has_experts: bool) -> str | None:
    """The widths of the grid's columns; None for those of the stylesheet."""
    if sizes.columns is None and (sizes.experts is None or not has_experts):
        return None
    left = _COLUMNS if sizes.columns is None else between(sizes.columns, 200, 800)
    if not has_experts:
        return f"{left}fr {THOUSAND - left}fr"
    experts = _EXPERTS if sizes.experts is None else between(sizes.experts, 200, 700)
    rest = THOUSAND - experts
    return f"{left * rest // THOUSAND}fr {(THOUSAND - left) * rest // THOUSAND}fr {experts}fr"

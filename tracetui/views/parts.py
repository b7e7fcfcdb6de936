"""A line of parts that give way by priority: words go before numbers, and no number is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len


@dataclass(frozen=True, slots=True)
class LinePart:
    """One part of a line in all its forms, the longest first; an empty last one may be left out."""

    forms: tuple[str, ...]
    rank: int = 0
    """Where there is too little room, parts of the highest rank give way first, of equal ones the last."""


def part(*forms: str, rank: int = 0) -> LinePart:
    return LinePart(forms, rank)


def fitted(parts: Sequence[LinePart], width: int) -> list[str]:
    """The form of each part with which all together take at most `width` cells; all empty where there are none."""
    steps = sorted(range(len(parts)), key=lambda place: (-parts[place].rank, -place))
    forms = [each.forms[0] for each in parts]
    for place in steps:
        for form in parts[place].forms:
            forms[place] = form
            if sum(map(cell_len, forms)) <= width:
                return forms
    return forms if not parts else [""] * len(parts)

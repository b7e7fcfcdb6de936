"""Which protocols for pictures there are, and how a terminal is told where to show one, or to take it away."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Protocol(Enum):
    """What a terminal understands."""

    KITTY = "kitty"
    """Keeps a picture by its number, and shows it over the characters until it is told otherwise."""
    ITERM = "iTerm2"
    SIXEL = "sixel"
    """As iTerm2's: what is written over a picture takes its place."""


@dataclass(frozen=True, slots=True)
class PixelSize:
    """Pixels of one cell of the terminal."""

    width: int
    height: int


def placed(cells: tuple[int, int], number: int) -> str:
    """Shows a picture that kitty has, over so many cells from the cursor on, which stays where it is."""
    return f"\x1b_Ga=p,i={number},p=1,c={cells[0]},r={cells[1]},C=1,q=2\x1b\\"


def removed(number: int) -> str:
    """Takes a picture off kitty's screen; its data stay."""
    return f"\x1b_Ga=d,d=i,i={number},p=1,q=2\x1b\\"


def forgotten(number: int) -> str:
    """Takes a picture off kitty's screen, and frees its data."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\"

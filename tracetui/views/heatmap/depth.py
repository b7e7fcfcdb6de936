"""How many colours a terminal has for a heatmap."""

from __future__ import annotations

from enum import Enum


class Depth(Enum):
    """How many colours there are to draw with."""

    TRUE = "true"
    INDEXED = "indexed"
    """256."""
    NONE = "none"
    """Too few for a palette: characters stand for the levels."""

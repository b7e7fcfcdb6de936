"""How much a line of the log matters."""

from __future__ import annotations

from enum import Enum


class Level(Enum):
    """With the sign that stands before such a line."""

    EVENT = "·"
    """It belongs to the course of things."""
    INFO = "i"
    """Somebody should read it."""
    WARNING = "!"
    """Something isn't as it was meant."""
    ERROR = "✗"

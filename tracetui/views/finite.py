"""Of how many elements a tensor's statistics are, where some are NaN or infinite."""

from __future__ import annotations

from tracetui.recording.statistics import Statistics
from tracetui.text import count


def finite_words(statistics: Statistics) -> str:
    """`numbers of the 12 finite elements`, `no finite element`; empty where all are finite."""
    if statistics.finite:
        return ""
    if not statistics.finite_count:
        return "no finite element"
    return f"numbers of the {count(statistics.finite_count)} finite element{'s' if statistics.finite_count > 1 else ''}"

"""Arrangements of the panes for what one is at."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.debugger.memory.note import PaneSizes

NO_SIZES = PaneSizes()


@dataclass(frozen=True, slots=True)
class LayoutPreset:
    """One arrangement."""

    name: str
    purpose: str
    front: str = "tensor"
    """The pane in front."""
    sizes: PaneSizes = NO_SIZES
    numbers: bool = False
    """Whether the tree shows what the run did."""


STANDARD = LayoutPreset("standard", "all of it")
PRESETS = (
    STANDARD,
    LayoutPreset("read", "a tensor's values", sizes=PaneSizes(rail=150, strip=0, columns=660, rows=800)),
    LayoutPreset(
        "attention", "a head's matrix", "attention", PaneSizes(rail=150, strip=0, columns=300, rows=850, experts=200)
    ),
    LayoutPreset("experts", "where tokens went", "experts", PaneSizes(rail=150, strip=0, experts=560)),
    LayoutPreset("diff", "the run's numbers, to hold against another's", sizes=PaneSizes(rail=450), numbers=True),
)

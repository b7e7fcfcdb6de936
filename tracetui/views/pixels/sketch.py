"""A picture in pixels before it is painted: which code each pixel has, and which colour each code."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracetui.views.pixels.protocol import PixelSize

if TYPE_CHECKING:
    from tracetui.views.heatmap.pyramid import Codes


@dataclass(frozen=True, slots=True)
class CellArea:
    """A part of a widget, in cells of the terminal."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, eq=False, slots=True)
class Sketch:
    """What a widget would show in pixels over some of its cells."""

    shows: Hashable
    """Equal for two sketches of the same picture, so that it is painted once."""
    area: CellArea
    colours: tuple[int, ...]
    """0xRRGGBB of each code."""
    paint: Callable[[PixelSize], Codes]
    """[area.height · height, area.width · width] for a size of cells."""

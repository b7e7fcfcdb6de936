"""What a user may choose of a picture: its ground and its letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FONT_SIZE = 9.0


@dataclass(frozen=True, slots=True)
class Colours:
    """Of a picture on a ground, each `#rrggbb`."""

    ground: str
    text: str
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]
    masked: str
    nan: str


_VIRIDIS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")
_LIGHT = Colours(
    ground="#ffffff",
    text="#1b1f26",
    sequential=_VIRIDIS,
    diverging=("#053061", "#4393c3", "#f7f7f7", "#d6604d", "#67001f"),
    masked="#c9ccd1",
    nan="#d81b60",
)
_DARK = Colours(
    ground="#0f131a",
    text="#dae0e8",
    sequential=_VIRIDIS,
    diverging=("#7ad5f8", "#3c7dc2", "#262c35", "#b46031", "#fbc77c"),
    masked="#4a4f57",
    nan="#f92da2",
)
_TEXTS = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")


@dataclass(frozen=True, slots=True)
class PictureLook:
    """The letters' size is that of the axes' names, in points; the title's is a point larger."""

    dark: bool = False
    font_size: float = FONT_SIZE

    @property
    def colours(self) -> Colours:
        return _DARK if self.dark else _LIGHT

    @property
    def settings(self) -> dict[Any, Any]:
        """Of matplotlib. Texts of an SVG stay texts."""
        colours = self.colours
        texts = dict.fromkeys(_TEXTS, colours.text)
        fixed = {"svg.hashsalt": "tracetui", "svg.fonttype": "none", "axes.edgecolor": "#8a8f98"}
        return {**fixed, **texts, "font.size": self.font_size, "axes.facecolor": colours.ground}

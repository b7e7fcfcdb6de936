"""What heatmaps and walls of heads offer in pixels, where half blocks show less than there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tracetui.ui.terminal.pictures import pictures_of
from tracetui.views.pixels.map_pixels import map_sketch, pooled_steps

if TYPE_CHECKING:
    from tracetui.ui.widgets.heatmap import Heatmap
    from tracetui.views.heatmap.ink import Brush
    from tracetui.views.heatmap.layout import View
    from tracetui.views.heatmap.pyramid import Pyramid
    from tracetui.views.pixels.sketch import Sketch


def offer_map(heatmap: Heatmap, pyramid: Pyramid, view: View, brush: Brush) -> tuple[int, int] | None:
    """Offer the cells in sight; how many rows and columns of the matrix a pixel stands for, once a picture is there."""
    sketch = map_sketch(pyramid, view, brush)
    offer(heatmap, [sketch] if sketch else [])
    pictures = pictures_of(heatmap)
    if pictures is None or pictures.graphics is None or not pictures.shows(heatmap):
        return None
    return pooled_steps(view, pictures.graphics.cell)


def offer(heatmap: Heatmap, sketches: Sequence[Sketch]) -> None:
    """Offer pictures; none takes away those that are there."""
    pictures = pictures_of(heatmap)
    if pictures is not None:
        pictures.offer(heatmap, sketches, heatmap.redraw)


def in_pixels(heatmap: Heatmap) -> bool:
    """Whether the cells are covered by a picture, which knows no crosshair."""
    pictures = pictures_of(heatmap)
    return pictures is not None and pictures.shows(heatmap)

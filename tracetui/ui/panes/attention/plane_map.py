"""The map of one head's attention, which keeps what it drew."""

from __future__ import annotations

from weakref import ref

from tracetui.ui.painting.drawings import Drawing, KeptDrawings, Same
from tracetui.ui.terminal.map_pictures import offer
from tracetui.ui.terminal.pictures import pictures_of
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.layout import View
from tracetui.views.heatmap.matrix import HeatmapData


class PlaneMap(Heatmap, KeptDrawings):
    """Of each matrix it keeps one drawing: with the crosshair where it was, and without pixels above it."""

    def drawing(self) -> Drawing | None:
        pictures = pictures_of(self)
        if self._data.empty or (pictures is not None and pictures.graphics is not None):
            return None
        view = self._look_at_cursor()
        how = self.kind, Same(self.palettes), self.palette.name, self.depth, self.is_thumbnail, self.fills
        return Drawing(ref(self._data), (view, how))

    def shown_again(self, drawing: Drawing) -> None:
        assert isinstance(drawing.way, tuple)
        self._see(drawing.way[0])

    def _see(self, view: View | None) -> None:
        """From now on this is the part in sight; what could be shown of it in pixels is offered once it is drawn."""
        self._view = view
        self.forget_lines()
        offer(self, ())

    def forget_lines(self) -> None:
        self._drawn_for = None
        super().forget_lines()

    def draw_ahead(self, data: HeatmapData) -> None:
        """Keep what would be drawn of another matrix."""
        if data.empty:
            return
        shown, view, cursor = self._data, self._view, self.cursor
        self._data = data
        self.set_reactive(Heatmap.cursor, self.validate_cursor(cursor))
        try:
            self.draw_aside()
        finally:
            self._data = shown
            self.set_reactive(Heatmap.cursor, cursor)
            self._see(view)

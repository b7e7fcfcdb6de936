"""A heatmap with a crosshair: the widget knows size, keys and theme; what is drawn comes from the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tracetui.ui.painting.focus import PlainFocus
from tracetui.ui.reader import read_in_background
from tracetui.ui.terminal.colours import depth_of
from tracetui.ui.terminal.map_pictures import in_pixels, offer, offer_map
from tracetui.ui.widgets.list_keys import MAP_KEYS
from tracetui.views.cells import Line
from tracetui.views.heatmap.axes import MapStyle
from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.ink import Brush, Ground, rgb
from tracetui.views.heatmap.layout import HeatmapLayout, View, arrange, look
from tracetui.views.heatmap.legend import shades_for
from tracetui.views.heatmap.matrix import EMPTY, HeatmapData, Pyramids, draw, notice_lines
from tracetui.views.heatmap.pyramid import Pyramid, pooled
from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.palette import PALETTES, Palette

_AT_ONCE = 1 << 18
"""Cells whose colours are worked out at once."""


class Heatmap(PlainFocus, can_focus=True):
    """Shows one matrix. Borders, if any, belong to its parent."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heatmap--label",
        "heatmap--muted",
        "heatmap--title",
        "heatmap--crosshair",
        "heatmap--masked",
    }
    """The background of the last is that of masked cells, for palettes without a colour for them."""
    DEFAULT_CSS = """
    Heatmap { width: 1fr; height: 1fr; }
    Heatmap > .heatmap--label { color: $foreground; }
    Heatmap > .heatmap--muted { color: $foreground 60%; }
    Heatmap > .heatmap--title { color: $foreground; text-style: bold; }
    Heatmap > .heatmap--crosshair { color: $accent; text-style: bold; }
    Heatmap > .heatmap--masked { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*MAP_KEYS]

    cursor: reactive[tuple[int, int]] = reactive((0, 0), init=False, repaint=False)
    """Row and column of the cell under the crosshair."""
    zoom: reactive[int | None] = reactive(None, init=False, repaint=False)
    """None: whatever shows the whole matrix. Else as in `views.pyramid`."""
    KIND: ClassVar[ScaleKind | None] = None
    """The scale at first; None: the data's own first."""

    kind: reactive[ScaleKind | None] = reactive[ScaleKind | None](None, init=False, repaint=False)
    """The scale asked for; data that hasn't it shows its own first."""
    palettes: reactive[tuple[Palette, ...]] = reactive(PALETTES, init=False, repaint=False)
    """At least one of each sort; the first of a sort is its default."""
    depth: reactive[Depth] = reactive(Depth.TRUE, init=False, repaint=False)
    """Of the terminal's colours; found out when mounted."""

    class CursorMoved(Message):
        """The crosshair stands on another cell."""

        def __init__(self, heatmap: Heatmap, row: int, column: int, value: float) -> None:
            super().__init__()
            self.heatmap = heatmap
            self.row = row
            self.column = column
            self.value = value

        @property
        def control(self) -> Heatmap:
            return self.heatmap

    def __init__(self, data: HeatmapData = EMPTY, **options: Any) -> None:
        super().__init__(**options)
        self.set_reactive(Heatmap.kind, self.KIND)
        self.is_thumbnail = False
        """Whether it stands beside another map, whose legend is its own too."""
        self.fills = False
        """Whether a side of the matrix that has room grows as far as it has."""
        self._data = data
        self._view: View | None = None
        self._chosen = {False: "", True: ""}
        self._strips: list[Strip] = []
        self._drawn_for: object = None
        self._brush: tuple[object, Brush] | None = None

    @property
    def data(self) -> HeatmapData:
        return self._data

    @property
    def palette(self) -> Palette:
        """The palette in use: each sort of data remembers its own."""
        fitting = self._fitting()
        name = self._chosen[fitting[0].diverging]
        return next((palette for palette in fitting if palette.name == name), fitting[0])

    @property
    def chosen(self) -> tuple[str, str]:
        """The names of the palettes that the user chose: of data from small to large, of data around zero."""
        return self._chosen[False], self._chosen[True]

    def choose(self, colours: str, diverging: str, scale: str) -> None:
        """As a user chose before; a name that there isn't is the default's."""
        self._chosen = {False: colours, True: diverging}
        self.kind = ScaleKind(scale) if scale in tuple(ScaleKind) else self.kind
        self.redraw()

    def show(self, data: HeatmapData) -> None:
        """Show other data; the crosshair stays on its cell where there is one, also over a while without any."""
        self._data = data
        if not data.empty:
            self.set_reactive(Heatmap.cursor, self.validate_cursor(self.cursor))
        self.redraw()

    def place(self, row: int, column: int) -> None:
        """Put the crosshair on a cell without telling anybody: whoever asks knows."""
        self.set_reactive(Heatmap.cursor, self.validate_cursor((row, column)))
        if not self._data.empty:
            self._repaint_crosshair()

    def redraw(self) -> None:
        self._drawn_for = None
        self.refresh()

    def on_mount(self) -> None:
        self.depth = depth_of(self.app)

    def notify_style_update(self) -> None:
        self._drawn_for = None
        super().notify_style_update()

    def get_line_filters(self) -> Sequence[LineFilter]:
        """None over colours that are the data: they would cost more than all the rest and change nothing."""
        return super().get_line_filters() if self.depth is Depth.NONE else ()

    def validate_cursor(self, cursor: tuple[int, int]) -> tuple[int, int]:
        rows, columns = self._data.rows.length, self._data.columns.length
        return max(0, min(cursor[0], rows - 1)), max(0, min(cursor[1], columns - 1))

    def watch_cursor(self, cursor: tuple[int, int]) -> None:
        if not self._data.empty:
            self._repaint_crosshair()
            self.post_message(self.CursorMoved(self, *cursor, self._data.value(*cursor)))

    def _repaint_crosshair(self) -> None:
        """Repaint no more than it changes: over a slow line each byte can be felt."""
        before, self._view = self._view, self._look_at_cursor()
        self._drawn_for = None
        if before is None or not before.same_part(self._view):
            self.refresh()
        else:
            inside = not in_pixels(self)
            self.refresh(*(Region(*part) for view in (before, self._view) for part in view.crosshair(inside)))

    def watch_zoom(self) -> None:
        self.redraw()

    watch_kind = watch_palettes = watch_depth = watch_zoom

    def render_line(self, y: int) -> Strip:
        if self._drawn_for != self.size:
            width = self.size.width
            self._strips = [Strip(line, width) for line in self._lines()]
            self._drawn_for = self.size
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _lines(self) -> list[Line]:
        styles = self._look()
        if self._data.empty:
            offer(self, ())
            return notice_lines(self._data.notice, self.size.width, self.size.height, styles)
        self._view = self._look_at_cursor()
        pyramid = self._pyramid()
        brush = self._brush_of(pyramid.scale, styles.ground, shades_for(self.size.width))
        steps = offer_map(self, pyramid, self._view, brush)
        return draw(self._data, pyramid, self._view, brush, self.palette.name, styles, steps)

    def _look_at_cursor(self) -> View:
        return look(self._layout(self.zoom), self._data.plan, self.cursor, self._view)

    def _layout(self, zoom: int | None) -> HeatmapLayout:
        plan = replace(self._data.plan, legend=not self.is_thumbnail, fills=self.fills)
        return arrange(self.size.width, self.size.height, plan, zoom)

    def _pyramid(self) -> Pyramid:
        """Of the scale asked for, or of the one that is there."""
        pyramids = self._data.pyramids
        asked = pyramids.get(self.kind) if self.kind else None
        return asked or next(iter(pyramids.values()))

    def _look(self) -> MapStyle:
        label, muted, title, crosshair = (
            self.get_component_rich_style(f"heatmap--{part}") for part in ("label", "muted", "title", "crosshair")
        )
        return MapStyle(Style(bgcolor=self.rich_style.bgcolor), label, muted, crosshair, title)

    def _brush_of(self, scale: Scale, ground: Style, shades: int) -> Brush:
        """The brush of the palette and theme in use: its segments outlive the data they were made for."""
        colours = Ground(
            rgb(ground.bgcolor),
            rgb(self.get_component_rich_style("heatmap--label").color),
            rgb(self.get_component_rich_style("heatmap--masked").bgcolor),
        )
        look = (self.palette, scale.diverging, colours, self.depth, shades)
        if self._brush is None or self._brush[0] != look:
            self._brush = look, Brush(self.palette, scale, *look[2:])
        return self._brush[1]

    def _fitting(self) -> list[Palette]:
        diverging = not self._data.empty and self._pyramid().scale.diverging
        return [palette for palette in self.palettes if palette.diverging is diverging]

    def action_move(self, down: int, across: int) -> None:
        """Go to the neighbouring cell; zoomed out, to the strongest cell of the neighbouring pixel."""
        if self._data.empty:
            return
        rows, columns = self._steps()
        row, column = self.cursor[0] // rows + down, self.cursor[1] // columns + across
        self._go(row * rows, column * columns)

    def action_edge(self, column: int) -> None:
        """Go to the first (0) or last (-1) column."""
        if not self._data.empty:
            self.cursor = self.cursor[0], column % self._data.columns.length

    def action_magnify(self, by: int) -> None:
        if not self._data.empty:
            self.zoom = self._layout(self._layout(self.zoom).zoom + by).zoom

    def action_fit(self) -> None:
        self.zoom = None

    def action_next_palette(self) -> None:
        fitting = self._fitting()
        after = fitting[(fitting.index(self.palette) + 1) % len(fitting)]
        self._chosen[after.diverging] = after.name
        self.redraw()

    def action_switch_scale(self) -> None:
        """The next scale that the data has."""
        kinds = list(self._data.pyramids)
        if len(kinds) == 1:
            self.app.bell()
        elif kinds:
            after = kinds[(kinds.index(self.kind) + 1) % len(kinds)] if self.kind in kinds else kinds[1]
            self._make_then_show(after)

    def _make_then_show(self, kind: ScaleKind) -> None:
        """What colours a large matrix needs on another scale is worked out where nobody waits."""
        pyramids = self._data.pyramids
        if self._data.values.size <= _AT_ONCE or not isinstance(pyramids, Pyramids) or pyramids.is_made(kind):
            self.kind = kind
        else:
            made = partial(setattr, self, "kind", kind)
            read_in_background(self, "scale", partial(pyramids.__getitem__, kind), lambda _: made(), lambda: self._data)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._point(event)

    def on_click(self, event: events.Click) -> None:
        self._point(event)

    def _point(self, event: events.MouseEvent) -> None:
        offset = event.get_content_offset(self)
        cell = self._view.cell_at(offset.x, offset.y) if offset and self._view else None
        if cell is not None:
            there = all(at // step == to // step for at, to, step in zip(self.cursor, cell, self._steps(), strict=True))
            if not there:
                self._go(*cell)

    def _steps(self) -> tuple[int, int]:
        """How many rows and columns are drawn as one."""
        layout = self._layout(self.zoom)
        return pooled(layout.row_zoom), pooled(layout.column_zoom)

    def _go(self, row: int, column: int) -> None:
        """Put the crosshair on what is seen of the group of cells that begins at (row, column), if it exists."""
        if 0 <= row < self._data.rows.length and 0 <= column < self._data.columns.length:
            self.cursor = self._pyramid().strongest(row, column, self._steps())

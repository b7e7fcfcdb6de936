"""Every head of a layer as a small picture, and every head of every layer as one cell."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from tracetui.analysis.attention.measures import MEASURES
from tracetui.debugger.readings.heads import SHARES, CallHeads, ordered
from tracetui.text import number, visible
from tracetui.ui.messages import HeadPicked
from tracetui.ui.terminal.map_pictures import offer
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.cells import Line
from tracetui.views.heatmap.legend import caption_text, legend_line, shades_for, title_line
from tracetui.views.heatmap.matrix import nothing
from tracetui.views.heatmap.pyramid import Pyramid
from tracetui.views.heatmap.wall import Tile, WallLayout, wall_layout, wall_lines
from tracetui.views.parts import fitted, part
from tracetui.views.pixels.wall_pixels import wall_sketches

_ORDERS = ("", "entropy", "sink", "distance", "previous", "induction", "norm")
_AROUND = 3
"""Lines that are no tiles: title, legend, caption."""
_KEYS = "Enter opens · f order · H layers × heads"


class HeadWall(Heatmap):
    """Drawn as a heatmap is, in its colours; arrows and clicks pick a head, Enter opens it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open the head", show=False, id="open_head"),
        Binding("f", "next_order", "order the heads otherwise", show=False, id="order_heads"),
    ]
    order: reactive[str] = reactive("", init=False, repaint=False)
    """By number, or the name of a measure."""

    def __init__(self) -> None:
        super().__init__(nothing(""), id="head-wall")
        self._call: CallHeads | None = None
        self._picked = 0
        self._wall = WallLayout(0, 1, 1)

    def show_call(self, call: CallHeads | None, head: int) -> None:
        """The heads of a call, as far as they are measured."""
        self._call, self._picked = call, head
        self.redraw()

    def watch_order(self) -> None:
        self.redraw()

    @property
    def heads(self) -> list[int]:
        """In the order on view."""
        return ordered(self._call, self.order) if self._call else []

    def _lines(self) -> list[Line]:
        call, (width, height) = self._call, self.size
        if call is None or height <= _AROUND:
            return super()._lines()
        look, heads = self._look(), self.heads
        cursor = heads.index(self._picked) if self._picked in heads else 0
        self._wall = wall_layout(len(heads), width, height - _AROUND, cursor)
        pyramid = Pyramid((np.zeros((1, 1), np.uint8),), SHARES, visible=True, masked=True, nan=False)
        brush = self._brush_of(pyramid.scale, look.ground, shades_for(width))
        tiles = [self._tile(call, head) for head in heads]
        offer(self, wall_sketches(tiles, self._wall, 1, brush))
        by = f"by {MEASURES[self.order].words if self.order else 'number'} (f)"
        measured = "" if call.done else f" · {len(call.heads)} of {call.view.heads} measured"
        shape = call.view.query.shape[2], call.view.key.shape[2]
        return [
            title_line(visible(call.view.site), f"{call.view.heads} heads {by}{measured}", shape, width, look),
            *wall_lines(tiles, cursor, self._wall, (width, height - _AROUND), brush, look),
            legend_line(pyramid, brush, self.palette.name, (), width, look),
            caption_text(self._told(call, width), _KEYS, width, look),
        ]

    def _tile(self, call: CallHeads, head: int) -> Tile:
        measured = call.head(head)
        told = f" {number(call.number(head, self.order), 3)}" if self.order and measured else ""
        waits = " …" if head >= len(call.heads) else ""
        return Tile(f"{head}{told}{waits}", measured.thumb if measured else None)

    def _told(self, call: CallHeads, width: int) -> str:
        """The head's measures, as many as have room."""
        head = f"head {self._picked}"
        if call.head(self._picked) is None:
            waits = "not measured yet" if self._picked >= len(call.heads) else "its attention can't be shown"
            return f"{head} · {waits}"
        known = [(name.short, call.number(self._picked, key)) for key, name in MEASURES.items()]
        measures = [part(f"  {name} {number(value, 3)}", "") for name, value in known if not np.isnan(value)]
        return "".join(fitted([part(head), *measures], width))

    def action_move(self, down: int, across: int) -> None:
        heads = self.heads
        if self._picked in heads:
            place = heads.index(self._picked) + down * self._wall.columns + across
            if 0 <= place < len(heads):
                self._pick(heads[place])

    def action_edge(self, column: int) -> None:
        if heads := self.heads:
            self._pick(heads[column])

    def action_next_order(self) -> None:
        self.order = _ORDERS[(_ORDERS.index(self.order) + 1) % len(_ORDERS)]

    def action_open(self) -> None:
        if self._call is not None:
            self.post_message(HeadPicked(self._picked, opens=True))

    def action_magnify(self, by: int) -> None:
        """Tiles are as large as they can be."""

    def action_switch_scale(self) -> None:
        """All heads are on one scale."""
        self.app.bell()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """A hover picks nothing: pane 3 would read each head under way."""

    def on_click(self, event: events.Click) -> None:
        offset, heads = event.get_content_offset(self), self.heads
        place = self._wall.tile_at(offset.x, offset.y - 1, len(heads)) if offset and self._wall.side else None
        if place is not None:
            again = heads[place] == self._picked
            self._pick(heads[place])
            if again:
                self.action_open()

    def _pick(self, head: int) -> None:
        self._picked = head
        self.redraw()
        self.post_message(HeadPicked(head))


class HeadMap(Heatmap):
    """Layers by heads, one measure a cell; its crosshair takes pane 3 along."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open the head", show=False, id="open_head_of_layer"),
        Binding("f", "next_measure", "colour by another measure", show=False, id="next_measure"),
    ]
    measure: reactive[str] = reactive("entropy", init=False, repaint=False)

    class MeasureChanged(Message):
        """Another measure is asked for."""

    class HeadOpened(Message):
        """The head under the crosshair is to be shown."""

    def __init__(self) -> None:
        super().__init__(nothing(""), id="head-map")

    def watch_measure(self) -> None:
        self.post_message(self.MeasureChanged())

    def action_next_measure(self) -> None:
        names = list(MEASURES)
        self.measure = names[(names.index(self.measure) + 1) % len(names)]

    def action_open(self) -> None:
        if not self.data.empty:
            self.post_message(self.HeadOpened())

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """A hover takes nothing along."""

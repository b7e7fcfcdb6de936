"""Has the heads on view measured where nobody waits, and shows how far that has come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from textual.worker import get_current_worker

from tracetui.analysis.attention.scores import AttentionView
from tracetui.debugger.readings.heads import CallHeads, HeadBook, calls_of_pass, head_map, measure_heads
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import EMPTY_TRACE
from tracetui.ui.panes.attention.head_wall import HeadMap, HeadWall
from tracetui.ui.reader import read_in_background
from tracetui.views.heatmap.matrix import HeatmapData

if TYPE_CHECKING:
    from tracetui.ui.panes.attention.pane import AttentionPane

HeadsView = Literal["head", "wall", "layers"]
_TELL_SECONDS = 0.15
"""Between two pictures of how far it has come."""


@dataclass(frozen=True, eq=False, slots=True)
class HeadsRead:
    """What is measured of the heads by now."""

    call: CallHeads | None
    """That on view."""
    calls: Sequence[CallHeads]
    picture: HeatmapData | None
    """Layers by heads, where that is asked for."""


class MeasuredHeads:
    """Of one pane; each head of a trace is measured once, whatever is looked at meanwhile."""

    def __init__(self, pane: AttentionPane) -> None:
        self._pane = pane
        self._book = HeadBook(EMPTY_TRACE)
        self._calls: Sequence[CallHeads] = ()
        self._frontier = -1

    def follow(self) -> None:
        """Another call is on view: of all layers only what is new has to be measured."""
        state = self._pane.state
        is_new = self._book.trace is not state.trace or self._frontier != state.frontier
        if self._pane.view != "layers" or is_new:
            self.measure()

    def measure(self) -> None:
        """Show what is measured, and measure the rest of what is on view."""
        pane = self._pane
        if pane.view == "head":
            return
        state = pane.state
        if self._book.trace is not state.trace:
            self._book = HeadBook(state.trace)
        self._frontier = state.frontier
        name = pane.query_one(HeadMap).measure
        read_in_background(pane, "heads", partial(self._read, state, pane.view, name, pane.call), self._show)

    def record_at(self, row: int) -> int | None:
        """The record of the attention call in a row of the map."""
        if row >= len(self._calls):
            return None
        view = self._calls[row].view
        return (view.beside("heads") or view.query).index

    def _read(self, state: ScreenState, asked: HeadsView, name: str, shown: AttentionView | None) -> HeadsRead:
        """In a thread: shows what there is now and then; the answer is what there is at the end."""
        worker, book = get_current_worker(), self._book
        call = book.of(shown, min(state.batch, shown.batch - 1)) if shown else None
        calls = calls_of_pass(state, book) if asked == "layers" else [call] if call else []
        told = 0.0

        def now() -> HeadsRead:
            return HeadsRead(call, calls, head_map(calls, name) if asked == "layers" else None)

        def tell() -> None:
            nonlocal told
            if time.monotonic() - told >= _TELL_SECONDS and not worker.is_cancelled:
                told = time.monotonic()
                self._pane.call_later(self._show, now())

        measure_heads(calls, lambda: worker.is_cancelled, tell)
        return now()

    def _show(self, read: HeadsRead) -> None:
        pane = self._pane
        if read.call is not None and read.call.view.trace is not pane.state.trace:
            return
        self._calls = read.calls
        pane.query_one(HeadWall).show_call(read.call, pane.state.head)
        if read.picture is not None:
            heads = pane.query_one(HeadMap)
            heads.show(read.picture)
            row = next((row for row, call in enumerate(read.calls) if call is read.call), heads.cursor[0])
            heads.place(row, pane.state.head)

"""What was drawn, or was drawn ahead, is shown without being drawn again, as long as it is what is to be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from rich.segment import Segment

from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tests.ui.painting.terminal import Painted
from tests.ui.painting.test_stale import painted
from tracetui.debugger.readings.beside import beside
from tracetui.debugger.state import ScreenState
from tracetui.ui.painting.ahead import DrawnAhead
from tracetui.ui.painting.drawings import Drawing
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.attention.plane_map import PlaneMap
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.panes.tensor.summary import Summary
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.widgets.canvas import Canvas, StateCanvas
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.ui.widgets.nearby import Nearby
from tracetui.ui.widgets.residual_line import ResidualLine
from tracetui.ui.widgets.timeline import TimelineBar
from tracetui.views.cells import Line
from tracetui.views.inks import Inks

FOLLOWING = (Nearby, ResidualLine, TimelineBar)
VALUES = (Summary, ValueGrid)


@contextmanager
def drawn() -> Iterator[list[str]]:
    """The kinds of widgets of which lines are made."""
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (*FOLLOWING, *VALUES, Heatmap):
            name = "_lines" if kind is Heatmap else "lines"
            make = getattr(kind, name)

            def noted(widget: object, *rest: object, make: object = make, named: str = kind.__name__) -> object:
                names.append(named)
                return make(widget, *rest)  # type: ignore[operator]

            patch.setattr(kind, name, noted)
        yield names


async def at_rest(it: Driven) -> None:
    """What the next key leads to has been read and drawn."""
    it.screen.query_one(AttentionPane)._at_rest()
    it.screen.query_one(TensorPane)._at_rest()
    await it.settle()
    for index in beside(it.state):
        for widget in it.screen.parts.ahead._widgets():
            widget.draw_ahead(replace(it.state, cursor=index))


async def test_the_next_layer_and_record_are_drawn_ahead_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "3", "{")
        terminal = Painted(it.app)
        for command in ("previous_layer", "next_layer", "record_before"):
            await at_rest(it)
            with drawn() as names:
                it.screen.action_command(command)
                await painted(it)
            assert names == [], command
            assert terminal.stale(monkeypatch) == [], command


async def test_a_records_numbers_and_values_are_drawn_ahead_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "2", "{", "down", "right")
        terminal = Painted(it.app)
        for command in ("record_before", "into", "previous_layer"):
            await at_rest(it)
            shown = it.text()
            it.screen.refresh()
            await painted(it)
            assert it.text() == shown
            with drawn() as names:
                it.screen.action_command(command)
                await painted(it)
            assert names == [], command
            assert terminal.stale(monkeypatch) == [], command


async def test_another_cell_or_scale_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "2", "{")
        terminal = Painted(it.app)
        for key, kind in (("down", "ValueGrid"), ("x", "Summary")):
            await at_rest(it)
            await it.press(key)
            with drawn() as names:
                it.screen.action_command("record_before")
                await painted(it)
            assert kind in names, key
            assert terminal.stale(monkeypatch) == [], key


async def test_a_place_that_was_left_is_shown_as_it_was_drawn() -> None:
    async with driven(prepare=dyadic.llama) as it:
        for key in ("enter", "c", "3", "{", "}", "{"):
            await it.press(key)
        with drawn() as names:
            await it.press("}")
        assert names == []


@pytest.mark.parametrize("change", ["x", "K", "plus", "theme", "size", "right"])
async def test_what_is_drawn_otherwise_now_is_drawn(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "3", "{")
        terminal = Painted(it.app)
        await at_rest(it)
        if change == "theme":
            it.app.theme = "tracetui-light"
            await painted(it)
        elif change == "size":
            await it.pilot.resize_terminal(100, 30)
        else:
            await it.press(change)
        with drawn() as names:
            await it.press("{")
            await painted(it)
        assert "Heatmap" in names
        assert terminal.stale(monkeypatch) == []


async def test_what_is_drawn_ahead_changes_nothing_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "3", "{", "right", "right")
        terminal, heatmap = Painted(it.app), it.screen.query_one("#heatmap", PlaneMap)
        await painted(it)
        before = heatmap.cursor, heatmap.data, heatmap._view, it.text(), [each.state for each in following(it)]
        await at_rest(it)
        assert (heatmap.cursor, heatmap.data, heatmap._view, it.text()) == before[:4]
        assert [each.state for each in following(it)] == before[4]
        it.screen.refresh()
        await painted(it)
        assert terminal.stale(monkeypatch) == []


def following(it: Driven) -> list[StateCanvas]:
    return [each for kind in FOLLOWING for each in it.screen.query(kind)]


async def test_no_more_than_some_drawings_are_kept_and_none_of_another_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.ui.painting.drawings.MOST", 3)
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        for _ in range(4):
            it.screen.action_command("record_before")
            await it.settle()
        kept = it.screen.query_one(Nearby)._drawings
        assert kept is not None
        assert len(kept) == 3
        trace = it.state.trace
        await it.press("r", "enter", "c")
        assert all(trace not in key for each in following(it) for key in each._drawings or () if isinstance(key, tuple))


class Counted(Canvas):
    """Draws what it is told to, and counts."""

    shows: object = "one"
    count = 0

    def drawing(self) -> Drawing:
        return Drawing(self.shows)

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        self.count += 1
        return [[Segment(str(self.shows).ljust(width))]]


async def test_what_is_drawn_aside_is_not_taken_for_what_is_shown() -> None:
    async with driven() as it:
        canvas = Counted()
        await it.screen.mount(canvas)
        await it.settle()
        first = canvas.render_lines(canvas.size.region)
        canvas.shows = "other"
        canvas.draw_aside()
        canvas.shows = "one"
        assert canvas.render_lines(canvas.size.region) == first
        count = canvas.count
        canvas.shows = "other"
        assert canvas.render_lines(canvas.size.region)[0].text.startswith("other")
        assert canvas.count == count
        assert canvas.render_lines(canvas.size.region.shrink((0, 1, 0, 1)))[0].text.startswith("ther")


class Noted:
    """Draws ahead."""

    def __init__(self) -> None:
        self.cursors: list[int] = []

    def draw_ahead(self, state: ScreenState) -> None:
        self.cursors.append(state.cursor)


async def test_once_keys_rest_each_record_is_drawn_until_a_key_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.ui.painting.ahead.REST", 0.0)
    monkeypatch.setattr("tracetui.ui.painting.ahead._APART", 0.0)
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "p")
        widget, expected = Noted(), list(beside(it.state))
        ahead = DrawnAhead(it.screen, lambda: [widget])
        ahead.follow(it.state, it.state)
        while len(widget.cursors) < len(expected):
            await it.pilot.pause(0.001)
        assert widget.cursors == expected
        widget.cursors.clear()
        ahead.follow(it.state, replace(it.state, cursor=0))
        ahead.draw(it.state, expected)
        assert widget.cursors == []

"""An answer is heard where what was asked for is still on view, and nowhere else."""

from __future__ import annotations

from threading import Event

import pytest
from textual.app import App, ComposeResult
from textual.widget import Widget

from tracetui.errors import InputError
from tracetui.ui import held_paint
from tracetui.ui.messages import Trouble
from tracetui.ui.reader import Reply, read_in_background


def test_an_answer_is_heard_only_where_what_was_asked_for_is_on_view() -> None:
    heard: list[str] = []
    on_view = ["record 3"]
    answer = Reply(heard.append, "its norm", "record 3", lambda: on_view[0])
    answer.hand_over()
    assert heard == ["its norm"]
    on_view[0] = "record 4"
    answer.hand_over()
    assert heard == ["its norm"]


class Reading(App[None]):
    """One widget that reads, and all trouble that comes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.widget = Widget()
        self.troubles: list[str] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    def on_trouble(self, message: Trouble) -> None:
        self.troubles.append(message.text)


async def test_newer_work_of_a_group_replaces_what_is_under_way_and_an_error_is_trouble() -> None:
    def broken() -> str:
        raise InputError("x.npz is gone")

    heard: list[str] = []
    app = Reading()
    async with app.run_test() as pilot:
        for text in ("one", "two"):
            read_in_background(app.widget, "group", lambda text=text: text, heard.append)  # type: ignore[misc]
        read_in_background(app.widget, "other", broken, heard.append)
        while not (heard and app.troubles):
            await pilot.pause(0.01)
    assert heard == ["two"]
    assert app.troubles == ["x.npz is gone"]


async def test_the_screen_waits_for_what_is_read_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []
    app, read = Reading(), Event()

    def slow() -> str:
        read.wait(10)
        return "read"

    async with app.run_test() as pilot:
        for longest in (60.0, 0.01):
            monkeypatch.setattr(held_paint, "LONGEST_HOLD", longest)
            held_paint._HELD.clear()
            read_in_background(app.widget, "group", slow, heard.append, holds_paint=True)
            assert app._batch_count == 1
            if longest == 60:
                read.set()
            while app._batch_count:
                await pilot.pause(0.01)
            assert heard == ["read"]
            read.clear()
        read.set()


async def test_a_hold_that_ends_after_the_application_paints_nothing() -> None:
    app = Reading()
    async with app.run_test():
        hold = held_paint.HeldPaint(app)
        hold.begin("group", "read")
    assert not app.screen_stack
    hold._give_up()
    assert app._exception is None


async def test_newer_work_lets_go_of_what_it_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_paint, "LONGEST_HOLD", 60)
    heard: list[str] = []
    app = Reading()
    async with app.run_test() as pilot:
        for text in ("one", "two"):
            read_in_background(app.widget, "group", lambda text=text: text, heard.append, holds_paint=True)  # type: ignore[misc]
        while app._batch_count:
            await pilot.pause(0.01)
    assert heard == ["two"]

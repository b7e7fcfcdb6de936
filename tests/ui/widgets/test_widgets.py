"""Single widgets at their edges: long prompts, wide tensors, late answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from textual import on
from textual.app import App, ComposeResult

from tests.ui.driving import driven
from tests.ui.tiny_llama import CONFIG
from tracetui.analysis.axes import Axis
from tracetui.analysis.residual import ResidualPoint
from tracetui.analysis.residual_tokens import ResidualSizes
from tracetui.debugger.labels import label_of
from tracetui.debugger.readings.planes import Plane
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import Phase, ScreenState
from tracetui.recording.record import Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, Index
from tracetui.ui.messages import Jump, TokenChosen
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.panes.tensor.reading import read
from tracetui.ui.panes.tensor.subject import Subject
from tracetui.ui.panes.tensor.summary import seconds
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.ui.reader import Reply
from tracetui.ui.theme.variables import default_variables
from tracetui.ui.widgets.header import Header
from tracetui.ui.widgets.residual_line import Norms, _heading
from tracetui.ui.widgets.step_bar import bar
from tracetui.ui.widgets.token_strip import TokenStrip


class Counting(ArrayValue):
    """Remembers how much of it was read."""

    def __init__(self, array: Array) -> None:
        super().__init__(array)
        self.largest = 0

    def read(self, index: Index = ()) -> Array:
        found = super().read(index)
        self.largest = max(self.largest, found.size)
        return found


class OneWidget(App[None]):
    """A single widget on a screen of its own."""

    def __init__(self, widget: ValueGrid | TokenStrip) -> None:
        super().__init__()
        self.widget = widget
        self.chosen = -1

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return default_variables(self.current_theme)

    def compose(self) -> ComposeResult:
        yield self.widget

    @on(TokenChosen)
    def _note(self, message: TokenChosen) -> None:
        self.chosen = message.position


def one_record(array: Array, tokens: int) -> tuple[Trace, Record, Counting]:
    value = Counting(array)
    record = Record(0, "model.norm", array.shape, "float32", 1)
    row = tuple(Token(place, f" w{place}".encode()) for place in range(tokens))
    return Trace(RunInfo(config=CONFIG), (row,), [record], [value], {}), record, value


async def test_a_wide_tensor_is_read_only_around_the_view() -> None:
    rows, columns = 3000, 5000
    array = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    trace, record, value = one_record(array, 0)
    grid = ValueGrid()
    app = OneWidget(grid)
    async with app.run_test(size=(80, 24)) as pilot:
        grid.show_subject(Subject(trace, record, Plane(Axis("N", rows), Axis("D", columns))))
        for move in ((0, 0), (2999, 4999), (-7, -60), (-2000, 3)):
            grid.action_move(*move)
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert grid.value == array[grid.cell]
    assert grid.cell == (992, 4942)
    assert value.largest < 20_000


async def test_the_token_strip_keeps_its_cursor_in_view() -> None:
    trace, _, _ = one_record(np.zeros((1, 1), np.float32), 5000)
    strip = TokenStrip()
    app = OneWidget(strip)
    async with app.run_test(size=(60, 5)) as pilot:
        for token in (0, 4999, 2500, 2490, 2510):
            strip.state = ScreenState(phase=Phase.STOPPED, trace=trace, frontier=1, cursor=0, token=token)
            await pilot.pause()
            assert f"·w{token}" in strip.render().plain
            shown = strip.render().plain
            assert strip.render().cell_length <= 60
            assert ("‹" in shown, shown.endswith("›")) == (token > 0, token < 4999)
            tokens = shown.partition("tokens ")[2].strip("‹›").split("│")
            first = int(tokens[0].removeprefix("·w"))
            assert tokens[:-1] == [f"·w{first + place}" for place in range(len(tokens) - 1)]
            x = shown.index(f"·w{token}")
            assert await pilot.click(TokenStrip, offset=(x, 0))
            assert app.chosen == token


async def test_an_answer_for_another_record_is_dropped() -> None:
    async with driven() as it:
        await it.press("enter", "s", "s")
        late = read(it.state.trace, it.state.trace.records[0])
        before = it.text()
        pane = it.screen.query_one(TensorPane)
        Reply(pane.show, late, (it.state.trace, 0), pane._looks_at_now).hand_over()
        await it.settle()
        assert it.text() == before


async def test_values_that_can_not_be_read_are_reported_and_the_screen_lives() -> None:
    class Broken(ArrayValue):
        def read(self, index: Index = ()) -> Array:
            raise OSError("the [file] is gone\x1b[2J")

    async with driven() as it:
        await it.press("enter", "c")
        values = it.state.trace.values
        assert isinstance(values, list)
        values[3] = Broken(np.zeros((1, 17, 32), np.float32))
        it.screen.query_one("Nearby").post_message(Jump(3))
        await it.settle()
        assert "the [file] is gone␛[2J" in it.log
        await it.press("n")
        assert it.state.cursor > 3


def test_seconds_have_a_unit_that_suits_them() -> None:
    assert [seconds(s) for s in (2.5, 0.0123, 0.000045)] == ["2.50 s", "12.3 ms", "45 µs"]


def test_gauges_have_their_width_at_any_place() -> None:
    for place in (-1.0, 0.0, 0.3, 1.0, 7.0):
        assert len(bar(place, 12).plain) == 12
    assert bar(1.0, 4).plain == "━━━━"


def test_a_token_always_has_a_label() -> None:
    assert label_of(Token(7, b"")) == "#7"
    assert label_of(Token(7, b"\x1b[31m")) == "␛[31m"
    assert len(label_of(Token(7, b"x" * 500))) <= 40


def test_the_strip_says_from_where_on_the_stream_is_lost() -> None:
    points = (ResidualPoint("embed", 0, 1.0), ResidualPoint("0 attn", 3, 1.5), ResidualPoint("0", 7, math.nan))
    state = ScreenState()
    norms = Norms(state.trace, 8, 0, 0, -1, ResidualSizes(points))
    assert _heading(norms, 1, state)[1:3] == ("1.5", "layer 0 attn")
    assert _heading(norms, 2, state)[1:3] == ("– layer 0", "NaN from 0")


@pytest.mark.parametrize(
    ("asked", "run_in", "shown"),
    [("auto", "", "auto"), ("auto", "bfloat16", "bfloat16"), ("float16", "float32", "float16"), ("", "float32", "m")],
)
def test_the_header_says_what_auto_comes_to(asked: str, run_in: str, shown: str) -> None:
    header = Header(StartPage(title="m", dtype=asked))
    trace = Trace(RunInfo(recipe={"dtype": run_in} if run_in else {}), (), (), (), {})
    header.set_reactive(Header.state, ScreenState(trace=trace))
    assert header._left(60).plain.split()[-1] == shown

"""What is painted is painted as it will be: not before its numbers are read, or before its size is known, and again."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from textual.screen import Screen

from tests.benchmarks.reactions import COMMANDS, counted
from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tests.ui.settling import painted_as_in_a_terminal
from tracetui.ui import held_paint
from tracetui.ui.app import TracetuiApp


@pytest.fixture(autouse=True)
def _every_frame_is_painted() -> Iterator[None]:
    with painted_as_in_a_terminal():
        yield


async def painted(it: Driven) -> None:
    """Until nothing is left to paint."""
    await it.settle()
    screen = it.app.screen
    while it.app._batch_count or screen._dirty_widgets or screen._layout_required or screen._repaint_required:
        await it.pilot.pause(0.005)
    await it.settle()


async def test_a_step_a_layer_and_another_pane_each_paint_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_paint, "LONGEST_HOLD", 60)
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        it.screen.action_command("pane_attention")
        await painted(it)
        paints = counted(it)
        for name, (commands, _) in COMMANDS.items():
            counts = []
            for command in commands * 2:
                paints.clear()
                it.screen.action_command(command)
                await painted(it)
                counts.append(len(paints))
            # At first there is layout to be done, and a pane that isn't on view may answer after the paint.
            assert statistics.median_low(counts) == 1, (name, counts)


async def test_the_first_paint_is_that_of_the_terminal_s_size(monkeypatch: pytest.MonkeyPatch) -> None:
    painted_with, display = [], TracetuiApp._display

    def displayed(app: TracetuiApp, screen: Screen[Any], update: Any) -> None:
        painted_with.append({*screen.classes} & {"-narrow", "-medium", "-wide", "-short", "-tall"})
        display(app, screen, update)

    monkeypatch.setattr(TracetuiApp, "_display", displayed)
    async with driven(size=(100, 40)):
        assert painted_with[0] == {"-medium", "-tall"}

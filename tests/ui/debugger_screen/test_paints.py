"""What a key changes is painted at once, not before its numbers are read and again after."""

from __future__ import annotations

import statistics

import pytest

from tests.benchmarks.reactions import COMMANDS, counted
from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tracetui.ui import held_paint


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

"""What stands above the next tokens: only what they are to be judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from tests.analysis.diff.made import trace_of
from tests.ui.driving import Driven
from tests.ui.recording import recorded
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import page_of_recording
from tracetui.recording.outline import Module
from tracetui.recording.trace import Trace
from tracetui.ui.app import TracetuiApp

WELL = "model.gguf: all 12 tensors from the file"
PARTLY = "model.gguf: 10 tensors from the file, 2 random: lm_head.weight random"


def shown(trace: Trace) -> TracetuiApp:
    return TracetuiApp(lambda listener: RecordedSession(trace, listener), page_of_recording(trace, Path("run.npz")))


async def test_that_all_is_well_is_left_to_the_log() -> None:
    trace = recorded()
    trace = replace(trace, run=replace(trace.run, notes=(WELL, PARTLY)))
    app = shown(trace)
    async with app.run_test(size=(120, 40)) as pilot:
        it = Driven(app, pilot, [])
        await it.press("5")
        assert PARTLY in it.text()
        assert WELL not in it.text()
        assert WELL in it.log


async def test_a_model_of_ones_own_that_returns_a_bare_tensor_is_not_waited_for() -> None:
    """A run that is over has no end to come; a score for every token, under whatever name, tells the next ones."""
    output = np.zeros((1, 3, 65), np.float32)
    output[0, 2, 5] = 9
    trace = trace_of({"wte": output[..., :8], "output": output}, tokens=[[1, 2, 3]])
    async with shown(trace).run_test(size=(120, 40)) as pilot:
        it = Driven(cast("TracetuiApp", pilot.app), pilot, [])
        await it.press("5", "end")
        assert "not known to be a score for every token" in " ".join(it.text().split())
        assert "when the run is at its end" not in it.text()
    table = Module("wte", "Embedding", 0, (("weight", (65, 8)),))
    known = replace(trace, outline=Module("", "Mine", 0, children=(table,)))
    async with shown(known).run_test(size=(120, 40)) as pilot:
        it = Driven(cast("TracetuiApp", pilot.app), pilot, [])
        await it.press("5", "end")
        assert "#5" in it.text()
        assert "not in the tokenizer" not in it.text()

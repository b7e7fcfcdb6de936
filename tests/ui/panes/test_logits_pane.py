"""What stands above the next tokens: only what they are to be judged by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.ui.driving import Driven
from tests.ui.recording import recorded
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import page_of_recording
from tracetui.ui.app import TracetuiApp

WELL = "model.gguf: all 12 tensors from the file"
PARTLY = "model.gguf: 10 tensors from the file, 2 random: lm_head.weight random"


async def test_that_all_is_well_is_left_to_the_log() -> None:
    trace = recorded()
    trace = replace(trace, run=replace(trace.run, notes=(WELL, PARTLY)))
    app = TracetuiApp(lambda listener: RecordedSession(trace, listener), page_of_recording(trace, Path("run.npz")))
    async with app.run_test(size=(120, 40)) as pilot:
        it = Driven(app, pilot, [])
        await it.press("5")
        assert PARTLY in it.text()
        assert WELL not in it.text()
        assert WELL in it.log

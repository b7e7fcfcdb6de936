"""Recordings for the tests of the screen: the numpy llama's whole pass, written to a file and opened again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.ui import tiny_llama
from tests.ui.driving import Driven
from tracetui.debugger.recorded_session import RecordedSession, open_recording
from tracetui.debugger.start_page import page_of_recording
from tracetui.recording.npz import write_trace
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import StatisticsValue
from tracetui.ui.app import TracetuiApp

STARTED = "2026-03-01T12:00:00Z"
LOOK_AROUND = """
import asyncio

async def main():
    app = TracetuiApp(lambda listener: RecordedSession(trace, listener), page_of_recording(trace, path))
    async with app.run_test(size=(160, 50)) as pilot:
        async def shown(*keys):
            await pilot.press(*keys)
            await pilot.pause()
            await app.workers.wait_for_complete()
            await pilot.pause()
            lines = app.screen._compositor.render_strips()
            return "\\n".join("".join(segment.text for segment in line) for line in lines)
        await shown()
        text = await shown("c", "3")
        for part in ("recording", "softmax", "embed_tokens", "logits"):
            assert part in text, text
        assert "logit" in await shown("5")
        assert not app._notifications, [notice.message for notice in app._notifications]

asyncio.run(main())
print("whole")
"""
"""Walks through the panes of `trace`, read from `path`, in a Python that may lack what only models need."""


def recorded() -> Trace:
    """One whole pass, with the module tree."""
    recorder = tiny_llama.empty_recorder()
    list(tiny_llama.forward(recorder))
    trace = recorder.trace.closed()
    run = replace(trace.run, model="llama3-2layer", started=STARTED)
    return replace(trace, run=run, outline=tiny_llama.outline(), complete=True)


def without_values(trace: Trace) -> Trace:
    """The same with statistics alone."""
    values = tuple(StatisticsValue(value.shape, value.dtype, value.statistics()) for value in trace.values)
    return replace(trace, values=values)


def written(path: Path, trace: Trace | None = None) -> Path:
    write_trace(trace or recorded(), path)
    return path


def nameless(trace: Trace) -> Trace:
    """A recording that says nothing of its run."""
    return replace(trace, run=RunInfo())


@asynccontextmanager
async def opened(path: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Driven]:
    """The application over a recording in a file."""
    trace = open_recording(path)
    app = TracetuiApp(lambda listener: RecordedSession(trace, listener), page_of_recording(trace, path))
    async with app.run_test(size=size) as pilot:
        found = Driven(app, pilot, [])
        await found.settle()
        yield found

"""The application over two traces beside each other, for the tests of the diff's screen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from tests.ui import tiny_llama
from tests.ui.driving import Driven
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import page_of_recording
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, ArrayValue
from tracetui.ui.app import TracetuiApp
from tracetui.ui.diff_screen.screen import DiffScreen
from tracetui.ui.diff_screen.work import Comparing

FAULT = "model.layers.1.post_attention_layernorm"


def reference(prompt: str = tiny_llama.PROMPT) -> Trace:
    """One pass of the numpy llama."""
    recorder = tiny_llama.empty_recorder(prompt)
    list(tiny_llama.forward(recorder))
    return recorder.trace.closed()


def faulty(trace: Trace, site: str = FAULT, factor: float = 1.25) -> Trace:
    """The same with one site's values, and those of all that comes after it, multiplied."""
    start = next(record.index for record in trace.records if record.site == site)
    changed = {id(value) for value in trace.values[start:] if value.dtype == "float32"}
    unchanged = {id(value) for value in trace.values[:start]}
    values = tuple(
        ArrayValue(scaled(value.read(), factor)) if id(value) in changed - unchanged else value
        for value in trace.values
    )
    return replace(trace, values=values)


def scaled(array: Array, factor: float) -> Array:
    return np.asarray(array * np.float32(factor))


@asynccontextmanager
async def comparing(
    a: Trace, b: Trace, size: tuple[int, int] = (120, 40), asked: Comparing | None = None, is_alone: bool = False
) -> AsyncIterator[Driven]:
    """The diff's screen once the report is there."""
    app = TracetuiApp(
        lambda listener: RecordedSession(a, listener),
        page_of_recording(a, Path("mine.npz")),
        partial(DiffScreen, asked or Comparing(a, b, ("mine.npz", "reference.npz")), is_alone=is_alone),
    )
    async with app.run_test(size=size) as pilot:
        found = Driven(app, pilot, [])
        await rest(found)
        yield found


async def rest(it: Driven) -> None:
    """Until nothing is being read any more: one answer may ask for the next."""
    for _ in range(4):
        await it.settle()


def screen(it: Driven) -> DiffScreen:
    assert isinstance(it.app.screen, DiffScreen)
    return it.app.screen

"""What a recording opens with: what was run, what came next, and lines that can be clicked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.ui.driving import Driven
from tests.ui.recording import recorded
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import page_of_recording
from tracetui.ui.app import TracetuiApp
from tracetui.ui.panes.tensor.overview import RunOverview


@asynccontextmanager
async def opened(size: tuple[int, int]) -> AsyncIterator[Driven]:
    trace = recorded()
    app = TracetuiApp(lambda listener: RecordedSession(trace, listener), page_of_recording(trace, Path("run.npz")))
    async with app.run_test(size=size) as pilot:
        it = Driven(app, pilot, [])
        await it.settle()
        yield it


async def test_a_click_on_a_line_is_its_key_and_bars_show_the_next_tokens() -> None:
    async with opened((120, 40)) as it:
        lines = it.text().splitlines()
        assert "43 records" in it.text()
        first = next(line for line in lines if "next token" in line)
        assert "%" in first
        assert "█" in first
        y = next(y for y, line in enumerate(lines) if "the next tokens" in line)
        overview = it.app.screen.query_one(RunOverview)
        await it.pilot.click(RunOverview, offset=(4, y - overview.region.y))
        await it.settle()
        assert it.screen.front == "logits"


async def test_on_a_short_screen_all_its_keys_stand_in_sight() -> None:
    async with opened((80, 24)) as it:
        assert "all keys" in it.text()

"""The timeline below the step line: mouse and keys go through the run, and everything follows."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest
from textual import events

from tests.ui.driving import Driven, driven
from tests.ui.recording import opened, written
from tracetui.ui.widgets.timeline import TimelineBar
from tracetui.views.cells import Line
from tracetui.views.charts.timeline import Film, gutter
from tracetui.views.heatmap.depth import Depth
from tracetui.views.inks import Inks


def bar(it: Driven) -> TimelineBar:
    return it.top.query_one(TimelineBar)


def shown(it: Driven) -> list[str]:
    return [bar(it).render_line(row).text for row in range(bar(it).size.height)]


@pytest.mark.parametrize(("size", "rows"), [((60, 16), 1), ((80, 24), 2), ((120, 40), 3), ((200, 60), 3)])
async def test_it_goes_from_record_to_record_and_says_where_one_is(
    size: tuple[int, int], rows: int, tmp_path: Path
) -> None:
    async with opened(written(tmp_path / "t.npz"), size) as it:
        await it.press("9", "g", "right", "right")
        assert len(shown(it)) == rows
        assert it.top.state.cursor == bar(it)._columns.edges[2]
        assert ("●" if rows == 1 else "▲") in shown(it)[-1]
        assert shown(it)[0].startswith("▌")


async def test_clicks_drags_and_wheels_lead_through_the_run(tmp_path: Path) -> None:
    async with opened(written(tmp_path / "t.npz"), (120, 40)) as it:
        left = gutter(120)
        await it.pilot.click(TimelineBar, offset=(left + 7, 1))
        await it.settle()
        assert it.top.state.cursor == 7
        assert shown(it)[2][left + 7] == "▲"
        await it.pilot.mouse_down(TimelineBar, offset=(left + 9, 1))
        for x in (10, 14, 20):
            await it.pilot._post_mouse_events([events.MouseMove], TimelineBar, offset=(left + x, 0))
        assert it.top.state.cursor == 20
        await it.pilot.mouse_up(TimelineBar, offset=(left + 20, 1))
        await it.pilot._post_mouse_events([events.MouseMove], TimelineBar, offset=(left + 3, 0))
        await it.pilot._post_mouse_events([events.MouseScrollDown], TimelineBar, offset=(left, 0))
        await it.settle()
        assert it.top.state.cursor == 21
        assert it.text().count(it.top.state.record.key)


async def test_it_grows_with_the_run_and_starts_anew_with_another() -> None:
    async with driven(size=(120, 40)) as it:
        assert not len(bar(it)._columns)
        await it.press("enter", "s", "s")
        assert len(bar(it)._columns) == 3
        await it.press("c")
        assert len(bar(it)._columns) == it.state.frontier
        assert [layer for _, layer in bar(it)._columns.layers] == [0, 1]
        await it.press("r", "enter")
        assert len(bar(it)._columns) == 1


async def test_a_step_takes_in_what_is_new_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with driven(size=(120, 40)) as it:
        await it.press("enter", "n", "n")
        taken = Mock(wraps=bar(it)._timeline._take)
        monkeypatch.setattr(bar(it)._timeline, "_take", taken)
        before = it.state.frontier
        await it.press("s", "p")
        assert [call.args[1:] for call in taken.mock_calls] == [(before, before + 1)]


async def test_stops_are_flags() -> None:
    async with driven(size=(120, 40)) as it:
        await it.press("enter", "s", "s", "s", "b", "c")
        await it.press("home")
        assert shown(it)[2][gutter(120) + 3] == "⚑"


async def test_esc_gives_the_keys_back_to_what_had_them(tmp_path: Path) -> None:
    async with opened(written(tmp_path / "t.npz"), (100, 30)) as it:
        await it.press("1")
        before = it.top.focused
        await it.press("9", "9", "right", "escape")
        assert it.top.focused is before
        await it.press("3", "9", "escape")
        assert it.top.focused is not bar(it)
        assert it.top.arrangement.front == "attention"


async def test_in_16_colours_nothing_hides_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    grounds: list[bool] = []

    def film_lines(film: Film, width: int, height: int, inks: Inks) -> list[Line]:
        grounds.append(bool(inks.track))
        return []

    monkeypatch.setattr("tracetui.ui.widgets.timeline.film_lines", film_lines)
    monkeypatch.setattr("tracetui.ui.widgets.timeline.depth_of", lambda app: Depth.TRUE)
    async with driven() as it:
        await it.press("enter", "c")
        assert set(grounds) == {True}
        grounds.clear()
        monkeypatch.setattr("tracetui.ui.widgets.timeline.depth_of", lambda app: Depth.NONE)
        await it.press("p")
        assert set(grounds) == {False}

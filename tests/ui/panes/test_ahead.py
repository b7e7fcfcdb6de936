"""What panes keep of what they read, and read before anybody asks."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from tests.ui.driving import Driven
from tests.ui.panes.test_attention_pane import finished
from tracetui.debugger.readings import attention
from tracetui.debugger.readings.attention import AttentionPlane, Checks
from tracetui.debugger.state import ScreenState
from tracetui.ui.panes.attention import pane as pane_module
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.attention.reading import read_plane
from tracetui.ui.panes.kept import Kept


def test_the_newest_of_one_trace_are_kept() -> None:
    kept: Kept[str] = Kept(2)
    one, other = object(), object()
    kept.add(one, 1, "a")
    kept.add(one, 2, "b")
    assert kept.of(one, 1) == "a"
    kept.add(one, 3, "c")
    assert [kept.of(one, key) for key in (1, 2, 3)] == ["a", None, "c"]
    assert kept.of(other, 1) is None
    kept.add(other, 1, "d")
    assert [kept.of(trace, 1) for trace in (one, other)] == [None, "d"]


async def until_shown(it: Driven, pane: AttentionPane, site: str) -> None:
    while pane.call is None or pane.call.site != site:
        await asyncio.sleep(0)


async def test_a_plane_whose_checks_come_late_is_not_taken_for_that_of_another_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(AttentionPane, "reads_ahead", False)
    async with finished() as it:
        pane, trace = it.screen.query_one(AttentionPane), it.state.trace
        queries = [record for record in trace.records if record.role == "q"]
        checked = {record.module: Event() for record in queries}
        planes_read = Event()

        def check_late(plane: AttentionPlane) -> Checks:
            checked[plane.view.query.module].wait(10)
            return attention.check_attention(plane)

        def read_late(state: ScreenState, *about: object) -> AttentionPlane | str:
            if state.cursor == queries[1].index:
                planes_read.wait(10)
            return read_plane(state, *about)  # type: ignore[arg-type]

        monkeypatch.setattr(pane_module, "check_attention", check_late)
        monkeypatch.setattr(pane_module, "read_plane", read_late)
        steps = it.screen.parts.steps
        steps.to(queries[0].index)
        await until_shown(it, pane, queries[0].module)
        # On to the next call, whose plane isn't there yet when the first one's checks are.
        steps.to(queries[1].index)
        checked[queries[0].module].set()
        for _ in range(20):
            await asyncio.sleep(0.005)
        planes_read.set()
        await until_shown(it, pane, queries[1].module)
        steps.to(queries[0].index)
        await until_shown(it, pane, queries[0].module)
        steps.to(queries[1].index)
        for event in checked.values():
            event.set()
        await it.settle()
        assert pane.call is not None
        assert pane.call.site == queries[1].module


async def test_a_plane_that_was_seen_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AttentionPane, "reads_ahead", False)
    async with finished() as it:
        pane, steps, read = it.screen.query_one(AttentionPane), it.screen.parts.steps, list[int]()

        def read_and_count(state: ScreenState, *about: object) -> AttentionPlane | str:
            read.append(state.cursor)
            return read_plane(state, *about)  # type: ignore[arg-type]

        first, last = (record.index for record in it.state.trace.records if record.role == "q")
        steps.to(first)
        await it.settle()
        monkeypatch.setattr(pane_module, "read_plane", read_and_count)
        steps.to(last)
        await it.settle()
        steps.to(first)
        await it.settle()
        assert read == [last]
        assert pane.call is not None
        assert pane.call.query.index == first
        pane.next_kind()
        await it.settle()
        assert read == [last, first]


async def test_the_calls_around_are_read_once_the_keys_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    async with finished() as it:
        pane, steps, read = it.screen.query_one(AttentionPane), it.screen.parts.steps, list[int]()
        first, last = (record.index for record in it.state.trace.records if record.role == "q")
        steps.to(first)
        await it.settle()

        def read_none(state: ScreenState, *about: object) -> str:
            read.append(state.cursor)
            return "none"

        monkeypatch.setattr(pane_module, "read_plane", read_none)
        pane.read_ahead((last,))
        await it.settle()
        steps.to(last)
        await it.settle()
        assert read == []
        assert pane.call is not None
        assert pane.call.query.index == last

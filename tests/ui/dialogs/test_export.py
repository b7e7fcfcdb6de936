"""Exporting: what is written reads back, nothing is replaced unasked, and a failure loses nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from textual.screen import ModalScreen
from textual.widgets import Input

from tests.ui.driving import Driven, driven
from tracetui.recording.npz import read_trace
from tracetui.recording.value import Array, ArrayValue, Index
from tracetui.ui.dialogs.files import export


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_the_offered_name_saves_a_trace_that_numpy_opens() -> None:
    async with driven() as it:
        await it.press("enter", "c", "e", "enter")
        assert any("exported" in notice for notice in it.notices)
        logits = it.state.trace["logits"]
    with np.load("llama3-2layer.npz") as stored:
        assert np.array_equal(stored["logits"], logits)


async def test_a_run_that_waits_can_be_exported_as_far_as_it_is() -> None:
    async with driven() as it:
        await it.press("enter", "s", "e", "enter")
    assert len(read_trace(Path("llama3-2layer.npz"))) == 2


async def test_an_existing_file_is_asked_about() -> None:
    Path("llama3-2layer.npz").write_text("mine")
    async with driven() as it:
        await it.press("enter", "e", "enter")
        assert "exists; Enter again replaces it" in it.text()
        await it.press("escape")
        assert Path("llama3-2layer.npz").read_text() == "mine"
        await it.press("e", "enter", "enter")
    assert len(read_trace(Path("llama3-2layer.npz"))) == 1


async def test_esc_leaves_without_a_file() -> None:
    async with driven() as it:
        await it.press("enter", "e", "escape")
        assert it.app.screen is it.screen
    assert list(Path().iterdir()) == []


async def test_a_write_that_fails_is_reported_and_the_trace_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else takes the folder's place between the question and the writing; the dialog stays with the name."""
    monkeypatch.setattr(export, "_problem", lambda path: "")
    monkeypatch.setattr(export, "_doubt", lambda path: "")
    Path("gone").write_text("")
    async with driven() as it:
        await it.press("enter", "e")
        it.app.screen.query_one("#file", Input).value = "gone/x.npz"
        await it.press("enter")
        assert "not exported: gone: File exists" in it.log
        assert any("not exported" in notice for notice in it.notices)
        assert "not exported: gone: File exists" in it.text()
        assert it.app.screen.query_one("#file", Input).value == "gone/x.npz"
        await it.press("escape", "s")
        assert it.state.frontier == 2


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("", "type a file name"), ("no/x.npz", "there is no folder no; Enter again makes it"), ("a\x00b", "null byte")],
)
async def test_a_name_that_can_not_be_is_refused_in_the_dialog(typed: str, answer: str) -> None:
    async with driven() as it:
        await it.press("enter", "e")
        it.app.screen.query_one("#file", Input).value = typed
        await it.press("enter")
        assert answer in it.text()
        assert it.app.screen is not it.screen


@pytest.mark.parametrize(("typed", "asked"), [("new/x.npz", "Enter again makes it"), ("x.txt", "all the same")])
async def test_what_nobody_asked_for_is_asked_about_first(typed: str, asked: str) -> None:
    async with driven() as it:
        await it.press("enter", "e")
        it.app.screen.query_one("#file", Input).value = typed
        await it.press("enter")
        assert asked in it.text()
        assert not Path(typed).exists()
        await it.press("enter")
        assert Path(typed).is_file()
        assert it.app.screen is it.screen


async def test_a_folder_takes_the_offered_name_and_the_toast_names_the_whole_path(tmp_path: Path) -> None:
    Path("traces").mkdir()
    async with driven() as it:
        await it.press("enter", "e")
        it.app.screen.query_one("#file", Input).value = "traces"
        await it.press("enter")
        assert any(f"{tmp_path}/traces/llama3-2layer.npz" in notice for notice in it.notices)
    assert len(read_trace(Path("traces/llama3-2layer.npz"))) == 1


async def test_nothing_to_export_is_said() -> None:
    async with driven() as it:
        await it.press("escape", "e")
        assert it.app.screen is it.screen
        assert "nothing is recorded yet" in it.text()


async def test_a_dialog_that_is_left_twice_is_left_once() -> None:
    async with driven() as it:
        await it.press("enter", "e")
        dialog = it.app.screen
        assert isinstance(dialog, ModalScreen)
        dialog.dismiss(None)
        dialog.dismiss(None)
        await it.press("s")
        assert it.app.screen is it.screen
        assert it.app.is_running


class Slow(ArrayValue):
    """Is read only when somebody lets it."""

    asked = Event()
    let = Event()

    def read(self, index: Index = ()) -> Array:
        found = super().read(index)
        if found.size:
            self.asked.set()
            assert self.let.wait(30)
        return found


async def until_reading(it: Driven) -> None:
    for _ in range(200):
        await it.pilot.pause(0.02)
        if Slow.asked.is_set() and "%" in it.text():
            return
    pytest.fail("no progress was shown")


async def slowed(it: Driven) -> None:
    """The trace with a fifth value that is slow to read, and nothing else waiting for it."""
    Slow.asked.clear()
    Slow.let.clear()
    values = it.state.trace.values
    trace = replace(it.state.trace, values=[*values[:4], Slow(values[4].read()), *values[5:]])
    await it.app.push_screen(export.ExportScreen("slow.npz", trace), it.screen.parts.files.exported)


async def test_progress_is_shown_and_esc_gives_up_without_a_trace_of_it() -> None:
    Path("slow.npz").write_text("mine")
    async with driven() as it:
        await it.press("enter", "c")
        await slowed(it)
        await it.pilot.press("enter", "enter")
        await until_reading(it)
        assert "Esc gives up" in it.text()
        await it.pilot.press("escape", "enter")
        assert "giving up" in it.text()
        Slow.let.set()
        await it.settle()
        assert it.app.screen is it.screen
        assert "the export was given up; nothing is written" in it.notices
    assert [path.name for path in Path().iterdir()] == ["slow.npz"]
    assert Path("slow.npz").read_text() == "mine"


async def test_quitting_gives_up_too() -> None:
    async with driven() as it:
        await it.press("enter", "c")
        await slowed(it)
        await it.pilot.press("enter")
        await until_reading(it)
        await it.pilot.press("ctrl+q")
        async with asyncio.timeout(30):
            while not all(worker.is_cancelled for worker in it.app.workers):
                await asyncio.sleep(0.01)
        Slow.let.set()
    # The writer's thread outlives the screen by what it needs to clear up.
    async with asyncio.timeout(30):
        while list(Path().iterdir()):
            await asyncio.sleep(0.01)

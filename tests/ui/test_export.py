"""Exporting: what is written reads back, nothing is replaced unasked, and a failure loses nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from textual.screen import ModalScreen
from textual.widgets import Input

from tests.ui.driving import driven
from tracetui.trace.npz import read_trace


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


async def test_a_write_that_fails_is_reported_and_the_trace_stays() -> None:
    """The folder disappears between the question and the writing."""
    Path("gone").mkdir()
    async with driven() as it:
        await it.press("enter", "e")
        dialog = it.app.screen
        assert isinstance(dialog, ModalScreen)
        Path("gone").rmdir()
        dialog.dismiss(Path("gone/x.npz"))
        await it.settle()
        assert "not exported: gone/x.npz: can't be written: No such file or directory" in it.log
        assert any("not exported" in notice for notice in it.notices)
        await it.press("s")
        assert it.state.frontier == 2


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("", "type a file name"), ("no/x.npz", "no is no folder"), ("a\x00b", "null byte")],
)
async def test_a_name_that_can_not_be_is_refused_in_the_dialog(typed: str, answer: str) -> None:
    async with driven() as it:
        await it.press("enter", "e")
        it.app.screen.query_one("#file", Input).value = typed
        await it.press("enter")
        assert answer in it.text()
        assert it.app.screen is not it.screen


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

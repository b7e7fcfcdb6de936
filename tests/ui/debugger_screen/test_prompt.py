"""The prompt line: nothing typed or pasted is lost, and what was run can be had again."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events

from tests.ui.driving import Driven, driven
from tests.ui.tiny_llama import PROMPT
from tracetui.ui.widgets.prompt_bar import PromptInput


def prompt_of(it: Driven) -> PromptInput:
    return it.screen.query_one(PromptInput)


async def test_a_paste_keeps_all_its_lines_and_tabs() -> None:
    async with driven() as it:
        prompt_of(it).value = "first "
        await it.press("end")
        prompt_of(it).post_message(events.Paste("one\r\n\ttwo\rthree\n"))
        await it.settle()
        assert "first one⏎⇥two⏎three⏎" in it.text()
        await it.press("left", "backspace", "enter")
        assert it.session.prompts == ["first one\n\ttwo\nthre\n"]


async def test_the_cursor_counts_what_is_shown() -> None:
    async with driven() as it:
        prompt = prompt_of(it)
        prompt.value = "a\n\tb"
        assert [prompt._position_to_cell(place) for place in range(5)] == [0, 1, 2, 3, 4]
        assert [prompt._cell_offset_to_index(place) for place in (0, 2, 4, 40)] == [0, 2, 4, 4]


async def test_a_cut_prompt_is_marked_at_the_cut_end() -> None:
    async with driven(size=(80, 24)) as it:
        prompt = prompt_of(it)
        prompt.value = "".join(f"w{word} " for word in range(60))
        await it.press("end")
        assert "‹" in it.line(22)
        assert "…" not in it.line(22)
        await it.press("home")
        assert it.line(22).endswith("…")
        assert "‹" not in it.line(22)


async def test_an_emptied_prompt_comes_back() -> None:
    async with driven() as it:
        prompt_of(it).value = ""
        await it.press("escape")
        assert prompt_of(it).value == PROMPT
        await it.press("r")
        prompt_of(it).value = "another"
        await it.press("enter", "r")
        prompt_of(it).value = " "
        await it.press("escape")
        assert prompt_of(it).value == "another"


async def test_up_and_down_walk_through_what_was_run() -> None:
    async with driven() as it:
        for text in ("one", "two", "two", "three"):
            prompt_of(it).value = text
            await it.press("enter", "r")
        prompt_of(it).value = "draft"
        seen = []
        for key in ("up", "up", "up", "up", "down", "down", "down", "down"):
            await it.press(key)
            seen.append(prompt_of(it).value)
        assert seen == ["three", "two", "one", "one", "two", "three", "draft", "draft"]


async def test_remarks_stand_in_the_step_line_and_never_pile_up() -> None:
    async with driven(size=(80, 24), hold=True) as it:
        await it.press("enter")
        it.session.let_go()
        await it.settle()
        await it.press(*"ssssss")
        assert it.notices == []
        assert "5 steps to go" in it.line(19)
        for _ in range(6):
            it.session.let_go()
            await it.settle()
        assert it.state.cursor == 6
        await it.press("home", "p")
        assert it.line(19).startswith(" this is the first record")
        await it.press("s")
        assert "first record" not in it.text()


async def test_there_is_one_toast_at_a_time_and_the_last_lines_stay_free() -> None:
    async with driven(size=(80, 24)) as it:
        await it.press("enter", "y", "s", "y")
        assert len(it.notices) == 1
        assert it.line(22).startswith(" prompt")
        assert it.line(23).startswith(" n over")


async def test_a_screenshot_can_be_taken_while_typing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as it:
        await it.press("f12")
        assert any("saved in" in notice for notice in it.notices)


@pytest.mark.parametrize("key", ["e", "question_mark", "ctrl+o", "t", "C"])
async def test_a_screenshot_can_be_taken_of_a_dialog(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with driven() as it:
        await it.press("enter", key)
        dialog = it.app.screen
        assert dialog is not it.screen
        await it.press("f12")
        assert it.app.screen is dialog
        assert any("saved in" in notice for notice in it.notices)

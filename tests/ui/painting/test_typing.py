"""A character that is typed places the widgets around its line once, where any of them needs another place at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.screen import Screen

from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tests.ui.settling import painted_as_in_a_terminal


@asynccontextmanager
async def typing(monkeypatch: pytest.MonkeyPatch, key: str, text: str) -> AsyncIterator[tuple[Driven, list[object]]]:
    """A line in which a text was typed, and what is laid out from then on."""
    placed: list[object] = []
    place = Screen._refresh_layout

    def noted(screen: Screen[Any], *rest: Any, **more: Any) -> None:
        placed.append(screen)
        place(screen, *rest, **more)

    # However slow the machine is, the screen waits.
    monkeypatch.setattr("tracetui.ui.held_paint.LONGEST_HOLD", 60.0)
    monkeypatch.setattr("tracetui.ui.dialogs.ask._REST", 60.0)
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", key, *text[:-1])
        with painted_as_in_a_terminal():
            # The first paint after the settling takes styles along that have waited for one.
            await it.press(text[-1])
            await it.settle()
            monkeypatch.setattr(Screen, "_refresh_layout", noted)
            yield it, placed


async def test_the_prompt_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with typing(monkeypatch, "r", "the ans") as (it, placed):
        await it.press("w")
        assert "the answ" in it.text()
        assert placed == []


async def test_what_a_dialog_says_of_a_line_is_placed_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with typing(monkeypatch, "B", "lay") as (it, placed):
        await it.press("e")
        assert "laye" in it.text()
        assert len(placed) == 1
        await it.pilot.pause(0.02)
        assert not it.app._batch_count

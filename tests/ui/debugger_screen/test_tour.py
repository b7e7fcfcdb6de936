"""The tour over the debugger's screen."""

from __future__ import annotations

from dataclasses import replace

from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER
from tracetui.debugger.home.tour import TOUR
from tracetui.ui.keys.commands import COMMANDS

PAGE = replace(OFFER, tour=True)
KEYS = ("enter", "s", "n", "n", "3", "right_square_bracket", "a", "p", "c", "5", "question_mark")


def step_of(it: Driven) -> str:
    """`3 of 10`; empty where there is no tour."""
    return next((f"{place + 1} of 10" for place in range(10) if f"{place + 1} of 10  " in it.text()), "")


async def test_each_of_ten_steps_waits_for_its_key_and_the_last_ends_it() -> None:
    async with driven((80, 24), PAGE) as it:
        steps, calls = [step_of(it)], [""]
        for key in KEYS:
            await it.press(key)
            steps.append(step_of(it))
            calls.append(next((line for line in it.text().splitlines() if "whole first layer" in line), ""))
        await it.press("escape")
        steps.append(step_of(it))
    assert steps == [f"{n} of 10" for n in (1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10)] + ["", ""]
    assert ["n n runs the rotary table, then" in calls[2], "n runs the whole first layer" in calls[3]] == [True, True]


async def test_another_key_does_what_it_does_and_the_step_goes_on_waiting() -> None:
    async with driven((120, 40), PAGE) as it:
        await it.press("enter", "u")
        assert it.state.frontier > 1
        assert step_of(it) == "2 of 10"
        await it.press("escape")
        assert step_of(it) == ""
        await it.press("s")


async def test_escape_in_the_prompt_leaves_it_too_and_without_a_tour_there_is_no_card() -> None:
    async with driven((80, 24), PAGE) as it:
        await it.press("escape")
        assert step_of(it) == ""
    async with driven((80, 24)) as it:
        await it.press("enter", "s")
        assert "tour" not in it.text()


def test_it_has_ten_steps_each_with_a_command_that_exists() -> None:
    assert len(TOUR) == 10
    assert {step.command for step in TOUR[1:]} <= {command.id for command in COMMANDS}

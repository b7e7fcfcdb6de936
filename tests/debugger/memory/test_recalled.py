"""The command line wins; nothing of last time is lost by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tracetui.debugger.memory.note import NO_NOTE, ScreenLayout, SessionNote
from tracetui.debugger.memory.restored import edits_beside, in_words, stops_beside
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import DEFAULT_STOPS, Stop, parse_stop
from tracetui.expr.watch import parse_watch
from tracetui.recipe.generation import Generation
from tracetui.recipe.prompts import Prompts, texts

LAST = (replace(DEFAULT_STOPS[0], on=False), parse_stop("*.mlp"), parse_stop("*.gate"))


def shown(stops: tuple[Stop, ...]) -> list[str]:
    return [f"{'' if stop.on else '-'}{stop.text}" for stop in stops]


@pytest.mark.parametrize(
    ("said", "defaults", "found"),
    [
        ([], True, ["-nan", "*.mlp", "*.gate"]),
        ([], False, ["-nan", "*.mlp", "*.gate"]),
        (["*.norm"], True, ["nan", "inf", "*.norm", "-*.mlp", "-*.gate"]),
        (["*.gate"], False, ["*.gate", "-nan", "-*.mlp"]),
    ],
)
def test_stops_that_are_said_alone_are_on(said: list[str], defaults: bool, found: list[str]) -> None:
    assert shown(stops_beside([parse_stop(text) for text in said], defaults, LAST)) == found


def test_without_default_stops_those_of_last_time_rest() -> None:
    assert shown(stops_beside([], False, DEFAULT_STOPS)) == ["-nan", "-inf"]


def test_edits_come_back_switched_off_unless_they_are_said() -> None:
    one, two = parse_edit("layers.1.mlp: zero"), parse_edit("layers.2.mlp: zero")
    assert [(edit.text, edit.on) for edit in edits_beside((one,), (one, two))] == [(one.text, True), (two.text, False)]


@pytest.mark.parametrize(
    ("note", "told"),
    [
        (NO_NOTE, ""),
        (SessionNote(stops=(*DEFAULT_STOPS, parse_stop("*.mlp"))), "1 stop"),
        (SessionNote(stops=()), "no stop at nan or inf"),
        (
            SessionNote(stops=LAST[1:], watches=(parse_watch("model.norm"),), prompts=texts("x")),
            "2 stops, 1 watch, the prompt",
        ),
        (SessionNote(prompts=texts("x", "y"), layout=ScreenLayout("logits")), "2 prompts, the layout"),
        (
            SessionNote(prompts=Prompts(("x",), chat=True), generation=Generation(3)),
            "the chat's prompt, 3 tokens to generate",
        ),
    ],
)
def test_what_comes_back_is_told_in_one_line(note: SessionNote, told: str) -> None:
    assert in_words(note) == (f"from last time: {told}; --fresh forgets" if told else "")

"""What a run keeps of its edits: each for the records that were made with it."""

from __future__ import annotations

from tracetui.expr.edit import Edit, plain_edits
from tracetui.expr.edit_log import EditLog
from tracetui.expr.edit_parse import parse_edits


def edits(*texts: str) -> tuple[Edit, ...]:
    return parse_edits(texts, "")


def said(log: EditLog) -> list[str]:
    return plain_edits(log.edits)


def test_what_is_asked_for_holds_from_the_record_on_that_is_made_next() -> None:
    log = EditLog()
    log.ask(edits("layers.1.mlp: zero"), 4)
    assert said(log) == []
    assert plain_edits(log.now(9)) == ["layers.1.mlp from 9: zero"]
    log.ask((), 5)
    log.now(12)
    assert said(log) == ["layers.1.mlp from 9 until 12: zero"]


def test_a_waiting_run_takes_up_what_is_asked_for_its_own_record() -> None:
    log = EditLog()
    log.ask(edits("layers.1.mlp: zero"), 8)
    log.ask(edits("layers.1.mlp: zero", "norm: scale 2"), 9)
    log.now(8)
    assert said(log) == ["layers.1.mlp from 8: zero", "norm from 9: scale 2"]


def test_an_edit_that_was_never_in_force_is_not_kept() -> None:
    log = EditLog(edits("norm: zero"))
    log.ask(edits("norm: zero", "layers.1.mlp: zero"), 4)
    log.ask(edits("norm: zero"), 4)
    log.now(6)
    assert said(log) == ["norm: zero"]


def test_who_keeps_them_hears_of_others_only() -> None:
    log = EditLog(edits("norm: zero"))
    heard: list[list[str]] = []
    log.changed = heard.append
    log.now(3)
    assert heard == []
    log.ask((), 3)
    log.now(3)
    assert heard == [["norm until 3: zero"]]

"""Ranks that look for each other hear what happens meanwhile."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest

from tracetui.errors import RunError
from tracetui.tracer.ranks import joining, leading
from tracetui.tracer.ranks.joining import joined
from tracetui.tracer.ranks.leading import Leading


def test_who_is_found_is_found() -> None:
    found: list[int] = []
    joined(lambda: found.append(1))
    assert found == [1]


def test_nobody_waits_for_a_torchrun_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(joining, "is_launcher_gone", lambda: True)
    with pytest.raises(RunError, match="torchrun has ended"):
        joined(over.wait)
    over.set()


def test_what_keeps_ranks_apart_is_said_in_a_line() -> None:
    def refuse() -> None:
        raise RuntimeError("the port\nis taken")

    with pytest.raises(RunError, match=r"^the ranks don't find each other: RuntimeError: the port is taken$"):
        joined(refuse)


def test_ctrl_c_is_heard_while_compiled_code_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    over, before = threading.Event(), signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(joining, "is_launcher_gone", lambda: signal.raise_signal(signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt):
            joined(over.wait)
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()


class _Gone:
    """Ranks whose store has ended."""

    calls = 0

    def read(self, name: str) -> None:
        raise RunError("gone")


def test_a_screen_that_is_not_up_yet_is_ended_all_the_same() -> None:
    ranks: Any = _Gone()
    answers, ended = iter([False, False, True]), threading.Event()

    def hear() -> bool:
        is_up = next(answers)
        if is_up:
            ended.set()
        return is_up

    with Leading(ranks, ranks).listening(hear):
        assert ended.wait(30)


def test_a_screen_that_never_answers_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "_ENDING_SECONDS", 0.01)
    ranks: Any = _Gone()
    asked, over, returned = threading.Event(), threading.Event(), threading.Event()

    def hear() -> None:
        asked.set()
        over.wait(30)
        returned.set()

    with Leading(ranks, ranks).listening(hear):
        assert asked.wait(30)
    assert not returned.is_set()
    over.set()

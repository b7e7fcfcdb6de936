"""Whenever a signal comes, the program goes, with its status, without a traceback, and gives the terminal back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.running import Here
from tests.cli.signal_storm import SIGNALS, storm
from tests.recording.made import small_trace
from tracetui import __main__ as program
from tracetui import signals
from tracetui.recording.npz import write_trace

LONG = int(os.environ.get("TRACETUI_TORTURE", "0")) // 3
SEEDS = range(LONG) if LONG else (1, 4, 3)
"""The few: Ctrl-C while the command line and what it needs are imported, and at the end of a screen."""
SOON = 5 if LONG else 20
"""Seconds to go in; the daily tests share the machine with each other."""


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    """Those of the tests' process: whoever started it in the background may have had it ignore some."""
    handlers = {number: signal.signal(number, signal.default_int_handler) for number in (*SIGNALS, signal.SIGQUIT)}
    yield
    signals.catch_signals()
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_it_goes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    recording = tmp_path / "recording.npz"
    write_trace(small_trace(), recording)
    trials = [storm(seed, recording, tmp_path, SOON) for seed in SEEDS]
    if LONG:
        kinds = Counter((trial.command, trial.moment) for trial in trials)
        slowest = max(trials, key=lambda trial: trial.seconds)
        print(f"\n{len(trials)} signals, {dict(kinds)}; the slowest: {slowest}")
    assert not [str(trial) for trial in trials if trial.trouble]


@pytest.mark.parametrize("error", [OSError(5, "input"), RuntimeError("an extension's"), SystemError("while importing")])
def test_what_became_of_a_signal_s_exception_makes_no_difference(
    tracetui: Here, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Compiled modules make errors of their own of it while they are imported."""

    def broken(arguments: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except SystemExit:
            raise error from None
        return 0

    monkeypatch.setattr("tracetui.cli._run", broken)
    said = tracetui("models")
    assert (said.status, said.out, said.err) == (143, "", "")
    monkeypatch.setattr("tracetui.cli._run", lambda arguments: _swallowed())
    said = tracetui("models")
    assert (said.status, said.err) == (130, "tracetui: interrupted\n")


def test_a_signal_that_meets_a_class_that_is_being_made_while_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Met:
        def __set_name__(self, owner: type, name: str) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    def imports() -> int:
        type("Made", (), {"met": Met()})
        return 0

    monkeypatch.setattr("tracetui.cli.main", imports)
    assert program.main() == 143


class _Deleted:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_meets_an_object_that_is_being_deleted_is_not_printed_and_comes_again(
    tracetui: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []

    def runs(arguments: object) -> int:
        _Deleted()
        for _ in range(100):
            time.sleep(0.02)
        left.append("at its end")
        return 0

    monkeypatch.setattr("tracetui.cli._run", runs)
    said = tracetui("models")
    assert (said.status, said.out, said.err, left) == (143, "", "", [])


def _swallowed() -> int:
    with suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    return 0


def test_while_the_interpreter_tidies_up_signals_end_it_at_once() -> None:
    code = (
        "import atexit, os, signal, sys, tracetui.__main__ as program\n"
        "sys.argv[1:] = ['models']\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
        "sys.exit(program.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")

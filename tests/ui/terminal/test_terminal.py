"""The real thing on a pseudo-terminal: what the process leaves behind on every way out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

PROGRAM = """
import sys
from tests.ui.fake import OFFER, FakeSession
from tracetui.ui.app import TracetuiApp
app = TracetuiApp(lambda listener: FakeSession(listener, hold="hold" in sys.argv), OFFER)
app.run()
sys.exit(app.return_code)
"""


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    program = (sys.executable, "-c", PROGRAM, *getattr(request, "param", ()))
    with Terminal(cwd=Path(__file__).parents[3], under=program, warm=True) as shown:
        yield shown


def test_a_walk_and_q(terminal: Terminal) -> None:
    terminal.until("ready")
    terminal.send("\r")
    terminal.until("recorded")
    terminal.send("c")
    terminal.until("finished · 43 records")
    terminal.send("q")
    assert terminal.ended() == 0
    terminal.assert_restored()


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_give_the_terminal_back(terminal: Terminal, sent: signal.Signals, status: int) -> None:
    terminal.until("ready")
    terminal.kill(sent)
    assert terminal.ended() == status
    terminal.assert_restored()


@pytest.mark.parametrize("terminal", [("hold",)], indirect=True)
def test_ctrl_c_twice_during_a_run(terminal: Terminal) -> None:
    terminal.until("ready")
    terminal.send("\r")
    terminal.until("Esc cancels")
    terminal.send("\x03")
    terminal.until("cancelled · 0 records")
    terminal.send("\x03")
    assert terminal.ended() == 130
    terminal.assert_restored()

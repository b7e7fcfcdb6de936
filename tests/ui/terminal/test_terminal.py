"""The real thing on a pseudo-terminal: what the process leaves behind on every way out."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator

import pexpect
import pyte
import pytest

PROGRAM = """
import sys
from tests.ui.fake import OFFER, FakeSession
from tracetui.ui.app import TracetuiApp
app = TracetuiApp(lambda listener: FakeSession(listener, hold="hold" in sys.argv), OFFER)
app.run()
sys.exit(app.return_code)
"""
MOUSE_OFF, SCREEN_BACK, CURSOR_BACK = b"\x1b[?1000l", b"\x1b[?1049l", b"\x1b[?25h"


class Terminal:
    """A process and what its terminal shows."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-c", PROGRAM, *arguments]
        self.child = pexpect.spawn(command[0], command[1:], dimensions=(24, 80), timeout=20)
        self.screen = pyte.Screen(80, 24)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def until(self, wanted: str, seconds: float = 20) -> None:
        """Read until the text is on the screen."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < end, self.text
            self._read()

    def ended(self, seconds: float = 20) -> int | None:
        """Read to the end; the exit status."""
        end = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < end, self.text
        self.child.close()
        status: int | None = self.child.exitstatus
        return status

    def _read(self) -> bool:
        try:
            found = self.child.read_nonblocking(1 << 16, 0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.written += found
        self.stream.feed(found)
        return True


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    found = Terminal(*getattr(request, "param", ()))
    yield found
    found.child.close(force=True)


def assert_restored(written: bytes) -> None:
    assert all(sequence in written for sequence in (MOUSE_OFF, SCREEN_BACK, CURSOR_BACK))


def test_a_walk_and_q(terminal: Terminal) -> None:
    terminal.until("ready")
    terminal.child.send("\r")
    terminal.until("recorded")
    terminal.child.send("c")
    terminal.until("finished · 43 records")
    terminal.child.send("q")
    assert terminal.ended() == 0
    assert_restored(terminal.written)


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_give_the_terminal_back(terminal: Terminal, sent: signal.Signals, status: int) -> None:
    terminal.until("ready")
    terminal.child.kill(sent)
    assert terminal.ended() == status
    assert_restored(terminal.written)


@pytest.mark.parametrize("terminal", [("hold",)], indirect=True)
def test_ctrl_c_twice_during_a_run(terminal: Terminal) -> None:
    terminal.until("ready")
    terminal.child.send("\r")
    terminal.until("Esc cancels")
    terminal.child.send("\x03")
    terminal.until("cancelled · 0 records")
    terminal.child.send("\x03")
    assert terminal.ended() == 130
    assert_restored(terminal.written)

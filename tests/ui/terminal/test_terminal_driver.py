"""What Textual's own driver leaves to us: libraries that print, and keys that repeat."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from textual import events
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver

from tests.cli.terminal import Terminal
from tests.ui.driving import driven
from tracetui import paths
from tracetui.screen_turn import screen_turn
from tracetui.ui.terminal.driver import Drawn, TerminalDriver

PROGRAM = """
import os, sys
from tests.ui.fake import OFFER, FakeSession
from tracetui.ui.app import TracetuiApp

def noisy(listener):
    os.write(2, b"noise from a library")
    return FakeSession(listener)

app = TracetuiApp(noisy, OFFER)
app.run()
os.write(2, b"heard again")
sys.exit(app.return_code)
"""


def test_a_key_sequence_that_no_terminal_sends_is_dropped() -> None:
    with Terminal(cwd=Path(__file__).parents[3], under=(sys.executable, "-c", PROGRAM), warm=True) as terminal:
        terminal.until("ready")
        for sequence in (b"\x1b[1;1:99999A", b"\x1b[:u", b"\x1b[97;5;97:98:1114112u"):
            terminal.send(sequence)
            terminal.look(0.3)
        terminal.send("\x11")
        assert terminal.ended() == 0


def test_what_libraries_print_goes_to_a_log_while_the_screen_is_up() -> None:
    with Terminal(cwd=Path(__file__).parents[3], under=(sys.executable, "-c", PROGRAM), warm=True) as terminal:
        terminal.until("ready")
        terminal.send("\x11")
        assert terminal.ended() == 0
    assert b"noise" not in terminal.written
    assert terminal.written.endswith(b"heard again")
    assert (paths.state_dir() / "logs" / "stderr.log").read_bytes() == b"noise from a library"


async def test_a_repeated_key_says_the_same_thing_once() -> None:
    async with driven() as debugger:
        await debugger.press("escape", "n", "n", "n", "p")
        assert debugger.notices == []
        assert debugger.text().count("nothing is recorded yet; Enter in the prompt runs it") == 1


def test_a_terminal_that_has_gone_takes_any_number_of_frames() -> None:
    """Textual's writer has room for 30 that wait, and would have the screen wait with them."""
    readable, writable = os.pipe()
    os.close(readable)
    drawn = Drawn(writable)
    writer = WriterThread(drawn)
    writer.start()
    for _ in range(100):
        writer.write("frame" * 10_000)
    writer.stop()
    os.dup2(os.open(os.devnull, os.O_WRONLY), writable)
    drawn.close()


def test_a_key_begins_the_screens_turn_and_what_it_changes_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    turn: list[str] = []
    monkeypatch.setattr(screen_turn, "begin", lambda: turn.append("begins"))
    monkeypatch.setattr(screen_turn, "end", lambda: turn.append("ends"))
    monkeypatch.setattr(LinuxDriver, "process_message", lambda *_: turn.append("heard"))
    driver = TerminalDriver.__new__(TerminalDriver)
    driver.process_message(events.Key("s", "s"))
    driver.process_message(events.MouseMove(None, 0, 0, 0, 0, 0, False, False, False))
    reads, writes = os.pipe()
    drawn = Drawn(writes)
    drawn.write("s")
    drawn.flush()
    drawn.close()
    os.close(reads)
    assert turn[:4] == ["begins", "heard", "heard", "ends"]

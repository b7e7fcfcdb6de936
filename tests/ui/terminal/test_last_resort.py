"""Ends that nobody waits for: told to while no frame can be drawn, and struck by a file that was cut short."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Terminal
from tracetui.ui.terminal import driver as terminal
from tracetui.ui.terminal import last_resort

PROGRAM = """
import mmap, os, sys, threading, time
from tests.ui.fake import OFFER, FakeSession
from tracetui.bus_error import catch_bus_errors
from tracetui.ui.terminal import last_resort
from tracetui.ui.app import TracetuiApp

last_resort.SECONDS = 0.5

def session(listener):
    threading.Thread(target={"draws for ever": draw_for_ever, "is struck": strike}[sys.argv[1]], daemon=True).start()
    return FakeSession(listener)

def wait():
    while not os.path.exists(sys.argv[2] + ".now"):
        time.sleep(0.01)

def draw_for_ever():
    wait()
    app.call_from_thread(app.set_interval, 0.005, draw)

def draw():
    if app._driver._writer_thread._queue.full():
        open(sys.argv[2], "w").close()
    app.refresh(repaint=True, layout=True)

def strike():
    path = sys.argv[2]
    with open(path, "r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    wait()
    os.truncate(path, 0)
    mapped[5000:6000]

catch_bus_errors()
app = TracetuiApp(session, OFFER)
sys.exit(last_resort.run_app(app))
"""
HERE = Path(__file__).parents[3]


def test_a_program_whose_terminal_nobody_reads_ends_when_it_is_told_to(tmp_path: Path) -> None:
    full = tmp_path / "full"
    with Terminal(cwd=HERE, under=(sys.executable, "-c", PROGRAM, "draws for ever", str(full)), warm=True) as child:
        child.until("ready")
        (tmp_path / "full.now").touch()
        # Nobody reads from here on, and soon as much waits to be drawn as can.
        while not full.exists() and child.child.poll() is None:
            time.sleep(0.01)
        os.kill(child.child.pid, signal.SIGTERM)
        assert child.child.wait(30) == 143


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


class NeverEnds:
    """A screen that is told to end and doesn't before the process is left."""

    _driver = return_code = None
    closed = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[object] = []
        self.left = threading.Event()
        monkeypatch.setattr(last_resort, "SECONDS", 0.01)
        monkeypatch.setattr(last_resort, "before_bus_error", lambda work: None)
        monkeypatch.setattr("os._exit", self._leave)

    def before_screen(self) -> None:
        """Nothing is asked of a terminal."""

    def run(self) -> int:
        self.told_to_end(143)  # type: ignore[attr-defined]
        assert_set(self.left)
        return 0

    def _leave(self, status: int) -> None:
        self.order.append(status)
        self.left.set()


def test_other_processes_hear_of_the_end_before_the_process_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of torchrun would wait for ever for the word of a rank that has ended well."""
    app: Any = NeverEnds(monkeypatch)

    def leave() -> None:
        app.order.append("told")
        raise RuntimeError("the others are gone")

    last_resort.run_app(app, leave)
    assert app.order == ["told", 143]


def test_the_process_is_left_though_the_others_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    app: Any = NeverEnds(monkeypatch)
    monkeypatch.setattr(last_resort, "TELLING_SECONDS", 0.01)
    hangs = threading.Event()
    last_resort.run_app(app, lambda: assert_set(hangs))
    assert app.order == [143]
    # What hangs comes back, and would leave in truth once the test has ended.
    app.left.clear()
    hangs.set()
    assert_set(app.left)


def test_a_file_cut_short_under_a_map_gives_the_terminal_back(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"\0" * 2**20)
    with Terminal(cwd=HERE, under=(sys.executable, "-c", PROGRAM, "is struck", str(path)), warm=True) as child:
        child.until("ready")
        (tmp_path / "weights.now").touch()
        assert child.ended() == 1
        child.assert_restored()
    assert f"tracetui: {path}: was changed while it was open; run it again".encode() in child.written


def test_what_gives_the_terminal_back_waits_a_little_for_room() -> None:
    ours, theirs = os.openpty()
    os.set_blocking(theirs, False)
    with suppress(BlockingIOError):
        while True:
            os.write(theirs, b"x" * 4096)
    read = bytearray()

    def read_all() -> None:
        # What was written last comes to the other end a little later.
        while not read.endswith(b"given back") and select.select([ours], [], [], 10)[0]:
            read.extend(os.read(ours, 65536))

    reader = threading.Timer(0.1, read_all)
    reader.start()
    terminal._write_soon(theirs, b"given back")
    reader.join()
    os.close(theirs)
    os.close(ours)
    assert read.endswith(b"given back")

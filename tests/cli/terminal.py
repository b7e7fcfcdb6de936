"""The real program on a real pseudo-terminal, and what a person would see there."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte
import pytest

from tests.cli.running import COMMAND
from tests.warm import WarmProcess

SECONDS = 60
"""How long anything may take at most: machines with other work to do are slow."""
_ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "70", "LINES": "20"}
"""The size in it is as wrong as that of a shell which exported it before its window changed."""
_RESTORING = {
    "the alternate screen is left": b"\x1b[?1049l",
    "the cursor is shown": b"\x1b[?25h",
    "the mouse is off": b"\x1b[?1003l",
    "bracketed paste is off": b"\x1b[?2004l",
    "lines wrap": b"\x1b[?7h",
    "the keyboard protocol is off": b"\x1b[<u",
}


class Terminal:
    """A child process, its terminal's screen, and all bytes that it wrote."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 80,
        rows: int = 24,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        warm: bool = False,
    ) -> None:
        """`under` is a program that starts the real one; a `warm` one has imported its libraries already."""
        self._master, self._slave = os.openpty()
        self.settings = termios.tcgetattr(self._slave)
        """Before anybody changed them."""
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.resize(columns, rows)
        command = [*under, *COMMAND, *arguments]
        environment = {**os.environ, **_ENVIRONMENT, **(env or {})}
        terminal = (self._slave, self._slave, self._slave)
        self.child: subprocess.Popen[bytes] | WarmProcess = (
            WarmProcess(command[1:], terminal, cwd=cwd, env=environment, terminal=True)
            if warm
            else _started(command, terminal, cwd, environment)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self._close()

    def _close(self) -> None:
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1

    @property
    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, *wanted: str, seconds: float = SECONDS) -> None:
        """Read until all these texts are on the screen at once."""
        self._wait(lambda: all(text in self.text for text in wanted), f"{wanted}", seconds)

    def until_written(self, sequence: bytes, seconds: float = SECONDS) -> None:
        """Read until these bytes have been sent to the terminal."""
        self._wait(lambda: sequence in self.written, f"{sequence!r}", seconds)

    def _wait(self, come: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not come():
            ended = self.child.poll() is not None
            # Of one that has ended there may be more to read.
            quiet = not self._read()
            if (time.monotonic() > end or (ended and quiet)) and not come():
                pytest.fail(f"{what} never came; exit status {self.child.poll()}, and on the screen is:\n{self.text}")

    def look(self, seconds: float) -> None:
        """Read for a while, whatever comes."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._read()

    def send(self, typed: str | bytes) -> None:
        os.write(self._master, typed.encode() if isinstance(typed, str) else typed)

    def kill(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def resize(self, columns: int, rows: int) -> None:
        """As when a window is drawn larger or smaller; the program hears of it by a signal."""
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self, seconds: float = SECONDS) -> int:
        """Take the terminal away, as when a connection breaks; the exit status."""
        self._close()
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(
                f"the process ran on for {seconds} s without a terminal; the last that it wrote was\n{self.text}"
            )

    def ended(self, seconds: float = SECONDS) -> int:
        """Read until the process has gone; its exit status, 128 + N for one that died of signal N."""
        end = time.monotonic() + seconds
        while self.child.poll() is None:
            if time.monotonic() > end:
                pytest.fail(f"the process ran on for {seconds} s, and on the screen is:\n{self.text}")
            self._read()
        while self._read():
            pass
        status = self.child.wait()
        return status if status >= 0 else 128 - status

    def assert_restored(self) -> None:
        """The terminal is what it was, as its settings and the sequences sent say."""
        assert self.now() == self.settings
        for meaning, sequence in _RESTORING.items():
            assert sequence in self.written, meaning
        after = self.written.rpartition(_RESTORING["the alternate screen is left"])[2]
        assert b"Traceback" not in after
        assert b"internal error" not in after

    def now(self) -> list[object]:
        """Its settings as they are."""
        return list(termios.tcgetattr(self._slave))

    def maps(self, library: str) -> bool:
        """Whether the process has a library in memory."""
        return library in Path(f"/proc/{self.child.pid}/maps").read_text()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.05)
        if not ready:
            return False
        found = os.read(self._master, 1 << 16)
        self.written += found
        self.stream.feed(found)
        return bool(found)


def _started(
    command: Sequence[str], terminal: tuple[int, int, int], cwd: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A new process that leads a session of its own on the terminal."""
    return subprocess.Popen(
        command,
        stdin=terminal[0],
        stdout=terminal[1],
        stderr=terminal[2],
        cwd=cwd,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )

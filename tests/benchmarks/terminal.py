"""A program on a pseudo-terminal, timed from a key to what it changes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

_SYNCHRONISED = b"\x1b[?2026;1$y"
_QUIET_SECONDS = 0.04
_PATIENCE = 10.0
"""Seconds that a program has to end in."""


class Terminal:
    """A program in a child on a pty of its own, as a terminal that synchronises its output."""

    def __init__(self, command: list[str], width: int, height: int) -> None:
        self.started = time.perf_counter()
        self.process, self._pty = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(command[0], command)

    def wait_for(self, text: bytes, seconds: float) -> float:
        """Seconds from its start until the program has written a text and rests. Raises TimeoutError."""
        taken = self.wait_for_output(text, seconds)
        os.write(self._pty, _SYNCHRONISED)
        self.press(b"")
        return taken

    def wait_for_output(self, text: bytes, seconds: float) -> float:
        """Read until the program has written a text; seconds since its start. Raises TimeoutError."""
        seen, end = b"", time.perf_counter() + seconds
        while text not in seen:
            if time.perf_counter() > end:
                raise TimeoutError(f"the app did not show {text!r}")
            if select.select([self._pty], [], [], 0.1)[0]:
                seen += os.read(self._pty, 1 << 16)
        return time.perf_counter() - self.started

    def press(self, keys: bytes) -> tuple[float, int]:
        """Seconds from a key to the last byte of what it changed, and how many bytes came."""
        os.write(self._pty, keys)
        start = last = time.perf_counter()
        count = 0
        while select.select([self._pty], [], [], 1.0 if keys and not count else _QUIET_SECONDS)[0]:
            count += len(os.read(self._pty, 1 << 16))
            last = time.perf_counter()
        return last - start, count

    def close(self) -> None:
        """End the program: what it still writes is read, or it would wait for that for ever; then it is killed."""
        os.kill(self.process, signal.SIGTERM)
        end = time.perf_counter() + _PATIENCE
        while time.perf_counter() < end:
            if os.waitpid(self.process, os.WNOHANG)[0]:
                break
            self._drain()
        else:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self._pty)

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            if select.select([self._pty], [], [], 0.05)[0]:
                os.read(self._pty, 1 << 16)

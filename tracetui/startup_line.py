"""A line that moves on the terminal while libraries are loaded, before there is a screen; keys typed then wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from tracetui.launch import is_another_rank

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_FRAMES = "|/-\\"
FRAME_SECONDS = 0.08
_OF_A_SCREEN = ("run", "open", "tour")
_ANSWERED_AT_ONCE = frozenset({"-h", "--help", "--version"})
_IFLAG, _LFLAG = 0, 3


class StartupLine:
    """Shown from `begin` until `end`, which gives the line and the terminal's settings back."""

    def __init__(self) -> None:
        self._over = Event()
        self._thread: Thread | None = None
        self._settings: list[Any] | None = None

    def begin(self, text: str) -> None:
        """Show the text with a sign that moves, unless input or output is no terminal."""
        if self._thread is not None or not _on_a_terminal():
            return
        self._over.clear()
        self._hold_keys()
        frames = FRAMES if "utf" in (sys.stdout.encoding or "").lower() else PLAIN_FRAMES
        self._thread = Thread(target=self._move, args=(text, frames), name="startup", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Clear the line. May be called at any time, and more than once."""
        if self._thread is None:
            return
        self._over.set()
        # A terminal that nobody reads takes no more: it must not keep the program.
        self._thread.join(1.0)
        self._thread = None
        _write("\r\x1b[K")
        if self._settings is not None:
            import termios

            with suppress(termios.error):
                termios.tcsetattr(0, termios.TCSANOW, self._settings)
            self._settings = None

    def _hold_keys(self) -> None:
        """What is typed isn't echoed, and Enter arrives as the screen will read it; Ctrl-C still ends the program."""
        import termios

        with suppress(termios.error):
            settings = termios.tcgetattr(0)
            held = list(settings)
            held[_IFLAG] &= ~termios.ICRNL
            held[_LFLAG] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(0, termios.TCSANOW, held)
            self._settings = settings

    def _move(self, text: str, frames: str) -> None:
        place = 0
        while True:
            _write(f"\r{frames[place % len(frames)]} {text}\x1b[K")
            place += 1
            if self._over.wait(FRAME_SECONDS):
                return


startup_line = StartupLine()
"""Of the process, as its terminal is."""


def begin_for(arguments: Sequence[str]) -> None:
    """Show that a command is starting, if it is one that opens a screen."""
    if _ANSWERED_AT_ONCE.isdisjoint(arguments) and (not arguments or arguments[0] in _OF_A_SCREEN):
        what = next((word for word in arguments[1:] if not word.startswith("-")), "")
        startup_line.begin(f"tracetui {what if what.isprintable() else ''}".rstrip()[:60])


def _on_a_terminal() -> bool:
    return os.isatty(0) and os.isatty(1) and os.environ.get("TERM") != "dumb" and not is_another_rank()


def _write(text: str) -> None:
    with suppress(OSError):
        os.write(1, text.encode(sys.stdout.encoding or "ascii", "replace"))

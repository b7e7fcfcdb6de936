"""The terminal: Textual's driver, made to bear foreign bytes, a lost terminal and libraries that print."""

from __future__ import annotations

import fcntl
import io
import os
import select
import selectors
import signal
import struct
import sys
import termios
import time
from codecs import getincrementaldecoder
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tracetui.logs import open_noise_log
from tracetui.screen_turn import screen_turn
from tracetui.startup_line import startup_line
from tracetui.ui.terminal.escape_key import ESCAPE, EscapeKey

if TYPE_CHECKING:
    from tracetui.ui.terminal.graphics import TerminalAnswers
    from tracetui.ui.terminal.pictures import Pictures

_STDOUT, _STDERR = 1, 2
_ANSWERED = (events.Key, events.Paste, events.MouseDown, events.MouseScrollDown, events.MouseScrollUp)
"""What the screen answers with a change of its own; a pointer that is moved changes nothing most of the time."""
_TICK_SECONDS = 0.1
_READ_BYTES = 4096
_MODES = b"?1000l ?1003l ?1015l ?1006l ?2004l ?2048l ?7h <u ?1049l ?25h ?1004l"
_WRITE_SECONDS = 0.5
_GIVEN_BACK = b"\x18" + b"".join(b"\x1b[" + mode for mode in _MODES.split())
"""What leaves a sequence half written, then mouse, paste, resizing, long lines, keyboard, screen, cursor and focus as
they were."""


def has_jobs(terminal: int = _STDOUT) -> bool:
    """Whether this process can be put into the background of the terminal's shell, and is sent its signals."""
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        return False
    return True


class TerminalDriver(LinuxDriver):
    """Draws on the terminal; what compiled libraries print past us goes to a log while the screen is up."""

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file = Drawn(os.dup(_STDOUT))
        self._size_known = (0, 0)
        self._is_told = has_jobs()
        self._kept: dict[int, int] = {}
        """The terminal's descriptors while a log stands in their place."""
        self._escape = EscapeKey()
        self._answers: TerminalAnswers | None = None
        """Of the terminal, where it is asked for pixels."""

    def _get_terminal_size(self) -> tuple[int, int]:
        """The terminal's own word: an exported COLUMNS stays as it is when the window changes."""
        with suppress(OSError):
            size = os.get_terminal_size(_STDOUT if self._file is None else self._file.fileno())
            if all(size):
                return size.columns, size.lines
        return super()._get_terminal_size()

    def start_application_mode(self) -> None:
        startup_line.end()
        if not self._kept:
            log = open_noise_log()
            for descriptor in filter(os.isatty, (_STDOUT, _STDERR)):
                self._kept[descriptor] = os.dup(descriptor)
                os.dup2(log, descriptor)
            os.close(log)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._ask_for_pictures()

    def _ask_for_pictures(self) -> None:
        """Whether the terminal has pixels: the answer comes among what is typed, or never."""
        if getattr(self._app, "wants_pictures", False) and self.input_tty:
            # Not of an application without maps: its first frame waits for nothing.
            from tracetui.ui.terminal.graphics import TerminalAnswers

            self._answers = TerminalAnswers(pixels=_cell_pixels(self.fileno))
            self._answers.begin()
            self.write(self._answers.query)
            self.flush()

    def stop_application_mode(self) -> None:
        pictures: Pictures | None = getattr(self._app, "pictures", None)
        if pictures is not None:
            pictures.end()
        super().stop_application_mode()
        for descriptor, terminal in self._kept.items():
            os.dup2(terminal, descriptor)
            os.close(terminal)
        self._kept.clear()

    def give_back(self) -> None:
        """Restore the terminal, from any thread; waits for no lock, and half a second at most for whoever reads it."""
        if isinstance(self._file, Drawn):
            self._file.is_over = True
        if self.attrs_before is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)
        with suppress(OSError):
            # Opened anew, for what is set here would be set for the shell too.
            own = os.open(os.ttyname(self.fileno), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            _write_soon(own, _GIVEN_BACK)
        for descriptor, terminal in self._kept.items():
            os.dup2(terminal, descriptor)

    def process_message(self, message: Message) -> None:
        if isinstance(message, _ANSWERED):
            screen_turn.begin()
        super().process_message(message)

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except BaseException as error:
            self._app.call_later(_raise, error)

    def run_input_thread(self) -> None:
        """Pass on what is typed; a byte that is no UTF-8 arrives as U+FFFD instead of ending the program."""
        decoder = getincrementaldecoder("utf-8")("replace")
        parser = XTermParser(self._debug)
        self._size_known = self._get_terminal_size()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                if selector.select(_TICK_SECONDS):
                    typed = self._read()
                    if not typed:
                        return
                    # The first byte of a longer character gives no text yet, and no text tells the parser to end.
                    if text := decoder.decode(typed):
                        parser = self._feed(parser, text)
                elif self._escape.rest():
                    self.process_message(events.Key("escape", ESCAPE))
                for message in parser.tick():
                    self.process_message(message)
                self._look_at_size()

    def _look_at_size(self) -> None:
        """Where another session has the terminal, as that of torchrun's has, no signal says that it was resized."""
        if self._is_told:
            return
        if (size := self._get_terminal_size()) != self._size_known:
            self._size_known = size
            os.kill(os.getpid(), signal.SIGWINCH)

    def _feed(self, parser: XTermParser, text: str) -> XTermParser:
        """Pass on what a text holds; the parser to go on with, a new one where Textual's stumbles over a sequence."""
        if self._answers is not None:
            text, known = self._answers.taken_out(self._escape.rest() + text)
            for message in known:
                self.process_message(message)
        for part in self._escape.parts(text):
            if part == ESCAPE:
                self.process_message(events.Key("escape", ESCAPE))
            else:
                parser = self._parsed(parser, part)
        return parser

    def _parsed(self, parser: XTermParser, text: str) -> XTermParser:
        try:
            for message in parser.feed(text):
                self.process_message(message)
        except (ValueError, OverflowError):
            # A key sequence with numbers that no terminal sends: it is dropped, and the keyboard stays alive.
            return XTermParser(self._debug)
        return parser

    def _read(self) -> bytes:
        """What was typed; nothing once the terminal has gone, which ends the program as a hang-up does."""
        with suppress(OSError):
            if typed := os.read(self.fileno, _READ_BYTES):
                return typed
        os.kill(os.getpid(), signal.SIGHUP)
        return b""


def _cell_pixels(descriptor: int) -> tuple[int, int]:
    """Width and height of a cell as the terminal's size tells them; zeros where it doesn't."""
    try:
        size = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return 0, 0
    lines, columns, width, height = struct.unpack("HHHH", size)
    return (width // columns, height // lines) if lines and columns else (0, 0)


def _write_soon(descriptor: int, content: bytes) -> None:
    """Write to a terminal that doesn't block; what it has no room for until the time is up is lost.

    A frame that was drawn just now may still fill it.
    """
    end = time.monotonic() + _WRITE_SECONDS
    while content and (left := end - time.monotonic()) > 0:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:
            select.select((), (descriptor,), (), left)


class Drawn(io.TextIOWrapper):
    """The terminal to draw on. If it is gone, writes are dropped: otherwise Textual would wait for it for ever."""

    def __init__(self, descriptor: int) -> None:
        raw = os.fdopen(descriptor, "wb")
        super().__init__(raw, encoding=sys.stdout.encoding, errors="backslashreplace", newline="")

    is_over = False
    """Whether the terminal is given back, and nothing more is to be drawn."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            if not self.is_over:
                super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            if not self.is_over:
                super().flush()
        screen_turn.end()


def _raise(error: BaseException) -> NoReturn:
    raise error

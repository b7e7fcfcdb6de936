"""Ending when told to: signals become exceptions that leave through every `finally`, and none is lost."""

from __future__ import annotations

import signal
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_told: list[int] = []
"""The signals that have come; of the process, as signals are."""


def catch_signals() -> None:
    """Have SIGINT raise KeyboardInterrupt, and SIGTERM and SIGHUP a SystemExit of 128 + their number."""
    _told.clear()
    for number in _ENDING:
        # A shell's background jobs and nohup's children are started with some ignored, and it stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _caught)


def leave_signals() -> None:
    """Let these signals end the process at once: during the interpreter's exit an exception would only be printed."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def told_to_end() -> int | None:
    """The number of the last signal received, even if its exception was swallowed; None if there was none."""
    return _told[-1] if _told else None


def check_signals() -> None:
    """Raise again for a signal whose exception was swallowed, as compiled modules do while they are imported."""
    if _told:
        _leave(_told[-1])


def _caught(number: int, frame: FrameType | None) -> NoReturn:
    _told.append(number)
    _leave(number)


def _leave(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)

"""Ending when told to: signals become exceptions that leave through every `finally`, and none is lost."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Timer
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_told: list[int] = []
"""The signals that have come; of the process, as signals are."""
_heeded: list[int] = []
"""Those of them that somebody has asked about since, so that the program is ending."""
_SOON = 0.05
"""Seconds after which a signal comes again whose exception ended where the interpreter only prints it."""


def catch_signals() -> None:
    """Have SIGINT raise KeyboardInterrupt, and SIGTERM, SIGHUP and SIGQUIT a SystemExit of 128 + their number."""
    _told.clear()
    _heeded.clear()
    for number in _ENDING:
        # A shell's background jobs and nohup's children are started with some ignored, and it stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _caught)
    if getattr(sys.unraisablehook, "func", None) is not _unraised:
        sys.unraisablehook = partial(_unraised, sys.unraisablehook)


def leave_signals() -> None:
    """Let these signals end the process at once: during the interpreter's exit an exception would only be printed."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # Python remembers of the last text that it executed whether an interrupt ended it, and `python -m` then dies of
    # SIGINT at its very end, though the interrupt was caught long before: classes are made by such texts.
    exec("")  # noqa: S102  # nothing is executed


def told_to_end() -> int | None:
    """The number of the last signal received, even if its exception was swallowed; None if there was none."""
    if not _told:
        return None
    _heeded[:] = _told
    return _told[-1]


def check_signals() -> None:
    """Raise again for a signal whose exception was swallowed, as compiled modules do while they are imported."""
    if (number := told_to_end()) is not None:
        _leave(number)


def _caught(number: int, frame: FrameType | None) -> NoReturn:
    _told.append(number)
    _leave(number)


def _unraised(tell: Callable[[sys.UnraisableHookArgs], object], lost: sys.UnraisableHookArgs) -> None:
    """What a `__del__` raised goes to `tell`; a signal's exception that met one is lost, and the signal comes again."""
    if not (_told and isinstance(lost.exc_value, KeyboardInterrupt | SystemExit)):
        tell(lost)
        return
    again = Timer(_SOON, _send_again)
    again.daemon = True
    with suppress(RuntimeError):  # the interpreter is ending, and starts no thread any more
        again.start()


def _send_again() -> None:
    if len(_heeded) < len(_told):
        os.kill(os.getpid(), _told[-1])


def _leave(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)

"""What a terminal must be for a screen to be drawn on it."""

from __future__ import annotations

import os
import sys

from tracetui.errors import InputError
from tracetui.served import is_served

_PLAIN = ("dumb", "unknown")


def require_terminal(command: str, instead: str) -> None:
    """Raise InputError where no screen can be drawn; `instead` is what works there."""
    if is_served():
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError(f"{command} needs a terminal; {instead} works without one")
    term = os.environ.get("TERM", "")
    if term.lower() in _PLAIN:
        also = "" if "tracetui trace" in instead else ", and so does `tracetui trace`"
        raise InputError(f"{command} can't draw on TERM={term}; {instead} works there{also}")

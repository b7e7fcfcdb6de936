"""Memory mapped from a file that was cut short: touching it ends the process at once, unless somebody catches that.

tracetui maps no file that it is given. A model of somebody's own code may, and libraries do.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tracetui.text import visible

STATUS = 1
_MOST_SECONDS = 3
"""What the last words may take: whoever holds a lock that they need won't give it back."""
_LINUX = sys.platform == "linux"
_ADDRESS_AT = 16 if _LINUX else 24
"""Of the address in `siginfo_t`, on 64 bits."""
_SIGINFO = 4 if _LINUX else 0x40
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_before: list[Callable[[], None]] = []


class _Action(ctypes.Structure):
    """`struct sigaction`."""

    _fields_ = (
        [("handler", _Handler), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]
        if _LINUX
        else [("handler", _Handler), ("mask", ctypes.c_uint32), ("flags", ctypes.c_int)]
    )


def catch_bus_errors() -> None:
    """Have SIGBUS say which file it was about, and end with status 1. Python's own handlers never come to run then."""
    if ctypes.sizeof(ctypes.c_void_p) != 8 or not (_LINUX or sys.platform == "darwin"):
        return
    action = _Action(handler=_handler, flags=_SIGINFO)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).sigaction(signal.SIGBUS, ctypes.byref(action), None)


def before_bus_error(give_back: Callable[[], None]) -> None:
    """Have something done before the last words, by whichever thread it strikes: it must wait for no lock."""
    _before.append(give_back)


def _end(number: int, info: Any, context: Any) -> None:
    # By default it ends the process, whatever holds this thread.
    signal.alarm(_MOST_SECONDS)
    try:
        for give_back in _before:
            with suppress(Exception):
                give_back()
        path = _mapped_at(ctypes.c_size_t.from_address(info + _ADDRESS_AT).value)
        name = visible(path, 1000) or "a file that was mapped"
        message = f"tracetui: {name}: was changed while it was open; run it again\n"
        os.write(2, message.encode("utf-8", "backslashreplace"))
    finally:
        os._exit(STATUS)


_handler = _Handler(_end)
"""As long as the process."""


def _mapped_at(address: int) -> str:
    """The file that is mapped at an address; empty where the system doesn't tell."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
            fields = line.split(maxsplit=5)
            first, _, last = fields[0].partition("-")
            if int(first, 16) <= address < int(last, 16) and len(fields) == 6:
                return fields[5].removesuffix(" (deleted)")
    return ""

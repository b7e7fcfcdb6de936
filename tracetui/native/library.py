"""The compiled library beside this module: where it lies, and whether it can be used."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

PATH = Path(__file__).with_name("libtracetui.so.8")
SWITCH = "TRACETUI_NATIVE"
_INTERFACE = 8
"""What interface.c says, raised whenever a function comes or its arguments change."""


def address_of(content: bytearray) -> int:
    """Where bytes lie, which may not grow meanwhile."""
    # Of an array of its length ctypes would make a type, and keep it until the collector comes.
    return ctypes.addressof(ctypes.c_char.from_buffer(content)) if content else 0


@cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it wasn't built, is switched off, or is another version's or processor's."""
    if os.environ.get(SWITCH) == "0" or not PATH.exists():
        return None
    try:
        loaded = ctypes.CDLL(str(PATH))
        return loaded if loaded.tracetui_interface() == _INTERFACE else None
    except (OSError, AttributeError):
        return None

"""CRC-32 by the compiled library where there is one, else by zlib: the same number, several times faster."""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Callable
from functools import cache

from tracetui.native.library import library

_FEW = 1 << 14
"""Bytes for which a call isn't worth its price."""


def crc32(content: bytes | memoryview, before: int = 0) -> int:
    """Of bytes that follow others, whose CRC-32 is `before`."""
    add = _add_crc32() if len(content) >= _FEW and isinstance(content, memoryview) else None
    if add is None or not isinstance(content, memoryview) or content.readonly or not content.c_contiguous:
        return zlib.crc32(content, before)
    crc = ctypes.c_uint32(before)
    done = add((ctypes.c_char * content.nbytes).from_buffer(content), content.nbytes, crc)
    return zlib.crc32(content[done:], crc.value)


@cache
def _add_crc32() -> Callable[[object, int, ctypes.c_uint32], int] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_add_crc32
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint32))
    function.restype = ctypes.c_size_t
    return function

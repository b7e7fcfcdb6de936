"""Single elements of many tensors in one call of the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

from tracetui.native.library import library


@cache
def taker() -> Callable[[int, int, int], None] | None:
    """`take(tensors, count, taken)` puts elements of tensors one behind the other; None without a library.

    tensors: the address of four numbers of 64 bits for each of them: where its first element lies, how many bytes an
    element has (1, 2, 4 or 8), where the numbers of those lie that are to be taken, of 64 bits each, and how many.
    """
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_take
    function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    function.restype = None
    return function

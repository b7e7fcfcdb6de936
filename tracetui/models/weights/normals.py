"""Normal random numbers by index: any part of a stream without the parts before it, the same on every processor.

Sixteen bits of a counter-based generator (Philox4x64-10 of Salmon et al., 2011) choose each number from the 65,536
quantiles of the normal distribution: several times faster than making it by arithmetic. Compiled code and numpy draw
the same bits.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import torch

from tracetui.native.library import library

QUANTILES = 2**16
_PER_BLOCK, _PER_WORD = 16, 4
"""Numbers of a block of Philox, and of each of its words."""


@cache
def quantiles() -> npt.NDArray[np.float64]:
    """The middles of 65,536 equally likely parts of the normal distribution, stretched to variance 1: up to 4.32."""
    normal = NormalDist()
    upper = np.array([normal.inv_cdf((i + 0.5) / QUANTILES) for i in range(QUANTILES // 2, QUANTILES)])
    both = np.concatenate([-upper[::-1], upper])
    scaled: npt.NDArray[np.float64] = both / both.std()
    return scaled


@cache
def table_of(std: float, dtype: torch.dtype) -> torch.Tensor:
    """The quantiles [65536] of a standard deviation: rounded to float32, and that to the dtype."""
    return torch.from_numpy((std * quantiles()).astype(np.float32)).to(dtype)


def draw(key: bytes, first: int, table: torch.Tensor, out: torch.Tensor) -> None:
    """Fill `out` [numel] with numbers `first`, `first` + 1, … of the stream of a key of 16 bytes.

    `table` is of the dtype of `out`, which has 2 or 4 bytes an element.
    """
    compiled = _compiled()
    low, high = (int.from_bytes(part, "little") for part in (key[:8], key[8:]))
    if compiled is None:
        _draw_with_numpy(low | high << 64, first, table, out)
    else:
        compiled(low, high, first, out.numel(), table.data_ptr(), out.element_size(), out.data_ptr())


@cache
def _compiled() -> Callable[[int, int, int, int, int, int, int], None] | None:
    loaded = library()
    if loaded is None:
        return None
    function = loaded.tracetui_draw
    places = (ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p)
    function.argtypes = (ctypes.c_uint64, ctypes.c_uint64, *places)
    function.restype = None
    return function


def _draw_with_numpy(key: int, first: int, table: torch.Tensor, out: torch.Tensor) -> None:
    block, skipped = divmod(first, _PER_BLOCK)
    words = -(-(skipped + out.numel()) // _PER_WORD)
    bits = np.random.Philox(key=key, counter=block).random_raw(words).astype("<u8", copy=False).view("<u2")
    integers = torch.int16 if out.element_size() == 2 else torch.int32
    # No index is out of range; "clip" is the way that writes into `out` without a buffer.
    np.take(
        table.view(integers).numpy(), bits[skipped : skipped + out.numel()], out=out.view(integers).numpy(), mode="clip"
    )

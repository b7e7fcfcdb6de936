"""How floating dtypes look as integers of their size, whose order is that of the floats sign by sign."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class FloatBits:
    """How a floating dtype looks as integers of its size."""

    signed: torch.dtype
    unsigned: type[np.unsignedinteger]
    sign: int
    """The sign bit."""
    largest_summed: int
    """The bits of the magnitude from which squares could overflow; those of Inf and NaN are larger still."""
    fraction: int
    """How many bits to shift a bfloat16 into a float32; 0 for the others."""
    code: str
    """struct's letters of the integer and of the float."""

    def value(self, pattern: int) -> float:
        """The float that has this bit pattern, given signed or unsigned."""
        unsigned = pattern % (2 * self.sign)
        found: float = struct.unpack(self.code[1], struct.pack(self.code[0], unsigned << self.fraction))[0]
        return found


FLOAT_BITS = {
    torch.float32: FloatBits(torch.int32, np.uint32, 1 << 31, 0x5D00_0000, 0, "If"),  # 1e18
    torch.bfloat16: FloatBits(torch.int16, np.uint16, 1 << 15, 0x5D00, 16, "If"),
    torch.float16: FloatBits(torch.int16, np.uint16, 1 << 15, 0x7C00, 0, "He"),  # its Inf: no float16 overflows float32
}

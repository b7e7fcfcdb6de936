"""How a tensor's elements lie in a GGUF file: in blocks, each of so many elements in so many bytes.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and the block structures of ggml-common.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class BlockType(NamedTuple):
    """One way of storing elements."""

    number: int
    """What a file has for it."""
    name: str
    """As llama.cpp calls it: `Q4_K`."""
    elements: int
    """Of one block; a row holds whole blocks."""
    byte_count: int
    """Of one block."""


BLOCK_TYPES: Mapping[int, BlockType] = {
    kind.number: kind
    for kind in (
        BlockType(0, "F32", 1, 4),
        BlockType(1, "F16", 1, 2),
        BlockType(2, "Q4_0", 32, 18),
        BlockType(3, "Q4_1", 32, 20),
        BlockType(6, "Q5_0", 32, 22),
        BlockType(7, "Q5_1", 32, 24),
        BlockType(8, "Q8_0", 32, 34),
        BlockType(10, "Q2_K", 256, 84),
        BlockType(11, "Q3_K", 256, 110),
        BlockType(12, "Q4_K", 256, 144),
        BlockType(13, "Q5_K", 256, 176),
        BlockType(14, "Q6_K", 256, 210),
        BlockType(16, "IQ2_XXS", 256, 66),
        BlockType(17, "IQ2_XS", 256, 74),
        BlockType(18, "IQ3_XXS", 256, 98),
        BlockType(19, "IQ1_S", 256, 50),
        BlockType(20, "IQ4_NL", 32, 18),
        BlockType(21, "IQ3_S", 256, 110),
        BlockType(22, "IQ2_S", 256, 82),
        BlockType(23, "IQ4_XS", 256, 136),
        BlockType(24, "I8", 1, 1),
        BlockType(25, "I16", 1, 2),
        BlockType(26, "I32", 1, 4),
        BlockType(27, "I64", 1, 8),
        BlockType(28, "F64", 1, 8),
        BlockType(29, "IQ1_M", 256, 56),
        BlockType(30, "BF16", 1, 2),
        BlockType(34, "TQ1_0", 256, 54),
        BlockType(35, "TQ2_0", 256, 66),
        BlockType(39, "MXFP4", 32, 17),
        BlockType(40, "NVFP4", 64, 36),
        BlockType(41, "Q1_0", 128, 18),
    )
}
"""By the number that a file has for it."""

_REMOVED = "which llama.cpp itself no longer reads"
_IN_MEMORY = "which llama.cpp makes in memory and no file holds"
UNREAD_TYPES: Mapping[int, tuple[str, str]] = {
    4: ("Q4_2", _REMOVED),
    5: ("Q4_3", _REMOVED),
    9: ("Q8_1", _IN_MEMORY),
    15: ("Q8_K", _IN_MEMORY),
    31: ("Q4_0_4_4", _REMOVED),
    32: ("Q4_0_4_8", _REMOVED),
    33: ("Q4_0_8_8", _REMOVED),
    36: ("IQ4_NL_4_4", _REMOVED),
    37: ("IQ4_NL_4_8", _REMOVED),
    38: ("IQ4_NL_8_8", _REMOVED),
}
"""Names of the others, and why they aren't read."""

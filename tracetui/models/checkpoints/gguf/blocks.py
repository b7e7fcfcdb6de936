"""Elements of a GGUF tensor from the blocks that they are packed in, by whichever library does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from tracetui.formats.gguf import BlockType

PLAIN: Mapping[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
}  # fmt: skip
"""What is stored one by one, not in blocks."""
_AT_ONCE = 2**18
"""Elements: more no longer fit a processor's cache, fewer cost more calls."""

_OF_GGUF = ("Q5_0", "Q5_1", "TQ1_0", "TQ2_0", "MXFP4", "NVFP4")
"""What transformers doesn't turn back."""

Unpack = Callable[[torch.Tensor], torch.Tensor]
"""From the bytes of blocks [n, bytes of a block] to their elements in float32, in order."""


def unpacker(kind: BlockType) -> Unpack | None:
    """What turns blocks of a type back; None if no library does."""
    if kind.name in _OF_GGUF:
        return _by_gguf(kind)
    # With torch: as fast as gguf's numpy with each type, up to three times as fast with most.
    from transformers.integrations.gguf import dequant

    if kind.number not in dequant.GGML_BLOCK:
        return None
    return lambda blocks: dequant.dequantize(blocks, kind.number)


def dequantise_into(out: torch.Tensor, blocks: torch.Tensor, kind: BlockType) -> None:
    """Fill a tensor, in its dtype, with the elements of all blocks (uint8), in order."""
    unpack = unpacker(kind)
    assert unpack is not None
    flat, packed = out.view(-1), blocks.view(-1, kind.byte_count)  # [n * elements], [n, bytes]
    step = max(1, _AT_ONCE // kind.elements)
    for first in range(0, len(packed), step):
        elements = unpack(packed[first : first + step])
        flat[first * kind.elements :][: elements.numel()] = elements.view(-1)


def _by_gguf(kind: BlockType) -> Unpack:
    from gguf import GGMLQuantizationType, quants

    number = GGMLQuantizationType[kind.name]

    def unpack(blocks: torch.Tensor) -> torch.Tensor:
        with np.errstate(all="ignore"):  # a product of scales may be too large for float32
            # As one row, for it takes 16 at a time.
            return torch.from_numpy(quants.dequantize(blocks.reshape(1, -1).numpy(), number))

    return unpack

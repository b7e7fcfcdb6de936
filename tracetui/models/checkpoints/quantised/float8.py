"""Float8 e4m3 beside its scales: one number for all of it, one for each of its rows, or one for each block.

The weight is the float8 value times its scale, in float32, rounded once to the model's dtype. DeepSeek-V3 calls the
scales `NAME_scale_inv` and has one for each block of 128 × 128; its reference code calls them `wq_a.scale`.
compressed-tensors (`float-quantized`), fbgemm and modelopt call them `NAME_scale`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from tracetui.models.checkpoints.quantised.method import Block, Method
from tracetui.models.checkpoints.quantised.weight import SCALE_DTYPES, PackedWeight, StoredParts, Values, dtype_text

FLOAT8 = torch.float8_e4m3fn
REFERENCE_BLOCK = (128, 128)
E8M0_BIAS = 127
_EXPONENTS = (torch.float8_e8m0fnu, torch.uint8)


def float8_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight [O,…] of float8, and its scales. Raises InputError for scales of a shape that fits no weight."""
    shape, scale, block = parts["weight"].shape, parts["scale"], _block(parts, method)
    multiplied = multiplied_shape(shape, scale.shape, block)
    if multiplied is None or scale.dtype not in (*SCALE_DTYPES, *_EXPONENTS):
        _refuse_scale(parts, block)
    assert multiplied is not None

    def begin() -> Values:
        scales = exponents(parts, "scale") if scale.dtype in _EXPONENTS else parts.scales("scale")
        scales = scales.reshape(multiplied)
        blocks = block if block is not None and tuple(multiplied) == _grid(shape, block) else None

        def values(places: Sequence[int]) -> torch.Tensor:
            weight = parts["weight"].take(places).float()  # [o,…]
            return weight * _of_rows(scales, blocks, torch.tensor(places), shape)

        return values

    return PackedWeight("float8", shape, begin, is_linear=False)


def _block(parts: StoredParts, method: Method) -> Block | None:
    """The block that the scales are as many as; the configuration's first where they fit none. Raises InputError."""
    shape, scale = parts["weight"].shape, parts["scale"].shape
    blocks = [block for block in (method.block, *method.other_blocks) if block and _grid(shape, block) == tuple(scale)]
    if len(blocks) > 1:
        named = method.blocks_of(parts.labels["weight"].removesuffix(".weight"))
        blocks = [block for block in blocks if block in named] or blocks
    if len(blocks) > 1 and prod(scale) > 1:
        sizes = " and ".join(f"{rows} × {columns}" for rows, columns in blocks)
        parts.fail(
            "scale",
            f"must be of one size of block, and fits those of {sizes} by the configuration",
        )
    return blocks[0] if blocks else method.block


def exponents(parts: StoredParts, role: str) -> torch.Tensor:
    """Scales that are powers of two, stored as their exponent + 127 in a byte. Raises InputError for 255, the NaN."""
    stored = parts[role].whole().view(torch.uint8).int()
    scale = torch.ldexp(torch.ones(stored.shape), stored - E8M0_BIAS)
    scale[stored == 255] = torch.nan
    parts.check_finite(role, scale)
    return scale


def multiplied_shape(weight: Sequence[int], scale: Sequence[int], block: Block | None) -> tuple[int, ...] | None:
    """The shape of the scales for a weight: a grid of blocks, or one that broadcasts; None if they don't fit."""
    if prod(scale) == 1:
        return (1,) * len(weight)
    if block is not None and tuple(scale) == _grid(weight, block):
        return tuple(scale)
    if len(scale) == 1 and len(weight) > 1 and scale[0] == weight[0]:
        return (weight[0], *(1 for _ in weight[1:]))
    fits = len(scale) == len(weight) and all(size in (1, whole) for size, whole in zip(scale, weight, strict=True))
    return tuple(scale) if fits else None


def _refuse_scale(parts: StoredParts, block: Block | None) -> None:
    """Raises InputError saying what the scales must be."""
    shape = parts["weight"].shape
    if block is not None and len(shape) < 2:
        parts.fail("weight", "is float8_e4m3fn and must be a matrix", list(shape))
    if block is None:
        problem = "must be one number, or one for each row; the configuration has no weight_block_size"
    else:
        problem = f"must be of the shape {list(_grid(shape, block))}, one for each block of {block[0]} × {block[1]}"
    parts.fail("scale", problem, f"{dtype_text(parts['scale'].dtype)} {list(parts['scale'].shape)}")


def _grid(shape: Sequence[int], block: Block) -> tuple[int, ...]:
    """How many blocks there are along each of the last two axes; matrices of experts have them each."""
    if len(shape) < 2:
        return ()
    *outer, rows, columns = shape
    return (*outer, -(-rows // block[0]), -(-columns // block[1]))


def _of_rows(scale: torch.Tensor, blocks: Block | None, rows: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """The scales of these places of the first axis, in a shape that broadcasts over the weight's."""
    if blocks is None:
        return scale if scale.shape[0] == 1 else scale.index_select(0, rows)  # [1 or o,…]
    if scale.dim() == 2:
        return scale.index_select(0, rows // blocks[0]).repeat_interleave(blocks[1], dim=1)[:, : shape[-1]]  # [o,I]
    tall = scale.index_select(0, rows).repeat_interleave(blocks[0], dim=-2)[..., : shape[-2], :]  # […,O,I/b]
    return tall.repeat_interleave(blocks[1], dim=-1)[..., : shape[-1]]  # […,O,I]

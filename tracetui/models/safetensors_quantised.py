"""Weights stored in fewer bits: float8 with block scales is read, everything else named and refused.

DeepSeek-V3's form: a matrix in float8 e4m3 beside `NAME_scale_inv`, one float32 for each block of 128 × 128. The
weight is the float8 value times its block's scale, in float32, rounded once to the model's dtype. DeepSeek's reference
code calls the scales `wq_a.scale`, and has one block size for all.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.safetensors_header import Stored
from tracetui.models.sources import Tick
from tracetui.models.weight_memory import empty_weight
from tracetui.recipe.bounded import Fields
from tracetui.text import visible

SCALE_SUFFIX = "_scale_inv"
FLOAT8 = torch.float8_e4m3fn
REFERENCE_BLOCK = (128, 128)
_ADVICE = "tracetui doesn't read it; --weights random runs the model without it"

Block = tuple[int, int]
"""Rows and columns that share a scale."""


def block_size(config: Mapping[str, object], where: str | Path) -> Block | None:
    """The block of a configuration's float8 weights; None if its weights are plain numbers.

    Raises InputError naming any other method.
    """
    for name in ("quantization_config", "compression_config"):
        said = config.get(name)
        if said is None:
            continue
        if not isinstance(said, dict):
            raise bad_field(where, name, "must be a table", said)
        method = said.get("quant_method")
        if name != "quantization_config" or method != "fp8" or said.get("fmt", "e4m3") != "e4m3":
            shown = f"{method} {said.get('fmt', '')}".strip() if method else "of no name"
            raise InputError(f"{where}: {name}: the weights are quantised, {visible(shown, 60)}; {_ADVICE}")
        return _block(Fields(said, where, f"{name}."))
    return None


def is_scale(name: str, tensors: Container[str]) -> bool:
    """Whether a tensor is the scales of another one of the file."""
    return name.endswith(SCALE_SUFFIX) and name.removesuffix(SCALE_SUFFIX) in tensors


def check_scale(
    path: Path, names: tuple[str, str], shape: Sequence[int], scale: Stored | None, block: Block | None
) -> None:
    """Refuse a float8 matrix whose scales aren't there or aren't one for each block; `names`: what both are called."""
    shown, shown_scale = names
    if block is None or scale is None:
        missing = "the configuration has no quantization_config" if block is None else f"{shown_scale} is missing"
        raise InputError(f"{path}: {shown}: is float8_e4m3fn, which means nothing without its scales: {missing}")
    if len(shape) != 2:
        raise bad_field(path, shown, "is float8_e4m3fn and must be a matrix", list(shape))
    wanted = [-(-size // length) for size, length in zip(shape, block, strict=True)]
    if list(scale.shape) != wanted or scale.dtype != torch.float32:
        problem = f"must be float32 of the shape {wanted}, one for each block of {block[0]} × {block[1]}"
        got = f"{str(scale.dtype).removeprefix('torch.')} {list(scale.shape)}"
        raise bad_field(path, shown_scale, problem, got)


def dequantised(
    weight: torch.Tensor, scale: torch.Tensor, block: Block, rows: torch.Tensor | None, dtype: torch.dtype, tick: Tick
) -> torch.Tensor:
    """float8 `weight` [O,I] times the `scale` [O/b,I/b] of each block, in `dtype`; only its rows [rows] if given."""
    wanted = torch.arange(weight.shape[0]) if rows is None else rows  # [rows]
    out = empty_weight((len(wanted), weight.shape[1]), dtype)  # [rows,I]
    for start in range(0, len(wanted), block[0]):
        part = wanted[start : start + block[0]]  # [b]
        # float8 has no index_select; its bits have.
        bits = weight.view(torch.uint8).index_select(0, part)  # [b,I]
        scales = scale.index_select(0, part // block[0])  # [b,I/b]
        wide = scales.repeat_interleave(block[1], dim=1)[:, : weight.shape[1]]  # [b,I]
        made = bits.view(FLOAT8).float() * wide  # [b,I]
        out[start : start + len(part)] = made
        tick(made.numel() * dtype.itemsize)
    return out


def _block(fields: Fields) -> Block:
    said = fields.found.get("weight_block_size")
    if (
        not isinstance(said, list)
        or len(said) != 2
        or not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 2**20 for size in said)
    ):
        fields.fail("weight_block_size", "must be the rows and columns of a block; other scales aren't read")
    return said[0], said[1]

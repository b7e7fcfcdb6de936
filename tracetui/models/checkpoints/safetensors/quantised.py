"""Weights stored in fewer bits: float8 with its scales is read, everything else named and refused.

A float8 e4m3 tensor stands beside its scales in the file: one number for all of it, one for each of its rows, or one
for each block of a matrix. The weight is the float8 value times its scale, in float32, rounded once to the model's
dtype. DeepSeek-V3 calls the scales `NAME_scale_inv` and has one for each block of 128 × 128; its reference code calls
them `wq_a.scale`. compressed-tensors (`float-quantized`), fbgemm and modelopt call them `NAME_scale`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path

import torch

from tracetui.errors import InputError, bad_field
from tracetui.formats.table import Fields
from tracetui.models.checkpoints.safetensors.header import Stored
from tracetui.models.checkpoints.weight_file import StoredTensor
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import Tick
from tracetui.text import visible

FLOAT8 = torch.float8_e4m3fn
REFERENCE_BLOCK = (128, 128)
_SUFFIXES = ("_scale_inv", "_scale")
_OF_ACTIVATIONS = ("input_scale", "activation_scale", "input_scale_ub", "output_scale", "q_scale", "k_scale", "v_scale")
"""What stands beside weights for rounding what a module is given, or a cache."""
_SCALE_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e8m0fnu)
_ROWS_AT_ONCE = 128
_ADVICE = "tracetui doesn't read it; --weights random runs the model without it"

Block = tuple[int, int]
"""Rows and columns that share a scale."""


def block_size(config: Mapping[str, object], where: str | Path) -> Block | None:
    """The block of a configuration's float8 weights; None if its weights are plain numbers, or scaled otherwise.

    Raises InputError naming any method but float8.
    """
    for name in ("quantization_config", "compression_config"):
        table = config.get(name)
        if table is None:
            continue
        if not isinstance(table, dict):
            raise bad_field(where, name, "must be a table", table)
        return _block_of_method(Fields(table, where, f"{name}."), name)
    return None


def _block_of_method(fields: Fields, name: str) -> Block | None:
    table = fields.found
    method = table.get("quant_method")
    if method == "fp8" and name == "quantization_config" and table.get("fmt", "e4m3") == "e4m3":
        return None if table.get("weight_block_size") is None else _block(fields, "weight_block_size")
    if method == "fbgemm_fp8" or (method == "modelopt" and str(table.get("quant_algo")) in _MODELOPT_FLOAT8):
        return None
    if method == "compressed-tensors" and (groups := _float8_groups(table)) is not None:
        blocks = [group for group in groups if group.get("strategy") == "block"]
        if not blocks:
            return None
        return _block(Fields(blocks[0], fields.where, f"{name}.config_groups."), "block_structure")
    raise _refused(fields.where, name, _words_of(table))


_MODELOPT_FLOAT8 = ("FP8", "FP8_PER_CHANNEL_PER_TOKEN")


def _float8_groups(table: Mapping[str, object]) -> list[Mapping[str, object]] | None:
    """How compressed-tensors stores each group of weights; None unless all of them are float8."""
    groups, sparse = table.get("config_groups"), table.get("sparsity_config")
    if not isinstance(groups, dict) or (isinstance(sparse, dict) and sparse.get("format", "dense") != "dense"):
        return None
    weights = [group.get("weights") for group in groups.values() if isinstance(group, dict)]
    tables: list[Mapping[str, object]] = [each for each in weights if isinstance(each, dict)]
    are_float8 = all(each.get("type") == "float" and each.get("num_bits") == 8 for each in tables)
    return tables if tables and are_float8 else None


def _words_of(table: Mapping[str, object]) -> str:
    """How a configuration calls its method: `compressed-tensors pack-quantized`."""
    parts = [table.get(name) for name in ("quant_method", "fmt", "quant_algo", "format")]
    return " ".join(part for part in parts if isinstance(part, str)) if table.get("quant_method") else "of no name"


def _refused(where: str | Path, name: str, method: str) -> InputError:
    return InputError(f"{where}: {name}: the weights are quantised, {visible(method, 60)}; {_ADVICE}")


def packed(path: Path, name: str, form: str) -> InputError:
    """The error about a tensor of a form that isn't read."""
    return _refused(path, name, form)


def scale_name(name: str, tensors: Mapping[str, Stored]) -> str | None:
    """What the scales of a float8 tensor are called in the file; None if they aren't there."""
    return next((name + suffix for suffix in _SUFFIXES if name + suffix in tensors), None)


def usual_scale_name(name: str) -> str:
    """What the scales would be called that aren't there."""
    return name + _SUFFIXES[0]


def is_scale(name: str, tensors: Mapping[str, Stored]) -> bool:
    """Whether a tensor is the scales of a float8 one of the file."""
    weights = (name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix))
    return any(weight in tensors and tensors[weight].dtype == FLOAT8 for weight in weights)


def of_activations(names: Iterable[str]) -> list[str]:
    """Those that say how to round what a module is given, not what its weights are."""
    return [name for name in names if name.rpartition(".")[2] in _OF_ACTIVATIONS]


def check_scale(
    path: Path, names: tuple[str, str], shape: Sequence[int], scale: Stored | None, block: Block | None
) -> None:
    """Raises InputError for float8 without scales, or with scales of a shape that fits no weight; `names` names both.

    Without a block in the configuration there is one scale for the tensor, one for each row, or one for each place
    along some axes.
    """
    name, scale_text = names
    if scale is None:
        problem = f"is float8_e4m3fn, which means nothing without its scales: {scale_text} is missing"
        raise InputError(f"{path}: {name}: {problem}")
    if scale.dtype in _SCALE_DTYPES and multiplied_shape(shape, scale.shape, block) is not None:
        return
    if block is not None and len(shape) != 2:
        raise bad_field(path, name, "is float8_e4m3fn and must be a matrix", list(shape))
    if block is None:
        problem = "must be one number, or one for each row; the configuration has no weight_block_size"
    else:
        problem = f"must be of the shape {list(_grid(shape, block))}, one for each block of {block[0]} × {block[1]}"
    got = f"{str(scale.dtype).removeprefix('torch.')} {list(scale.shape)}"
    raise bad_field(path, scale_text, problem, got)


def multiplied_shape(weight: Sequence[int], scale: Sequence[int], block: Block | None) -> tuple[int, ...] | None:
    """The shape of the scales for a weight: a grid of blocks, or one that broadcasts; None if they don't fit."""
    if prod(scale) == 1:
        return (1,) * len(weight)
    if block is not None:
        return _grid(weight, block) if len(weight) == 2 and tuple(scale) == _grid(weight, block) else None
    if len(scale) == 1 and len(weight) > 1 and scale[0] == weight[0]:
        return (weight[0], *(1 for _ in weight[1:]))
    fits = len(scale) == len(weight) and all(size in (1, whole) for size, whole in zip(scale, weight, strict=True))
    return tuple(scale) if fits else None


def _grid(shape: Sequence[int], block: Block) -> tuple[int, ...]:
    """How many blocks there are along each axis of a matrix."""
    return tuple(-(-size // length) for size, length in zip(shape, block, strict=True))


def dequantised(
    weight: StoredTensor,
    scale: torch.Tensor,
    block: Block | None,
    rows: Sequence[int] | None,
    dtype: torch.dtype,
    tick: Tick,
) -> torch.Tensor:
    """float8 `weight` [O,…] times the `scale` of each element, in `dtype`; only its rows [rows] if given."""
    shape = multiplied_shape(weight.shape, scale.shape, block)
    assert shape is not None
    scale = scale.float().reshape(shape)  # [O/b,I/b], or [O or 1,…]
    blocks = block if block is not None and shape != (1,) * len(weight.shape) else None
    row_numbers: Sequence[int] = range(weight.shape[0]) if rows is None else rows
    out = empty_weight((len(row_numbers), *weight.shape[1:]), dtype)  # [rows,…]
    step = blocks[0] if blocks else _ROWS_AT_ONCE
    for start in range(0, len(row_numbers), step):
        part = row_numbers[start : start + step]
        scales = _of_rows(scale, blocks, torch.tensor(part), weight.shape[-1])
        made = weight.take(part).float() * scales  # [b,…]
        out[start : start + len(part)] = made
        tick(made.numel() * dtype.itemsize)
    return out


def _of_rows(scale: torch.Tensor, blocks: Block | None, rows: torch.Tensor, width: int) -> torch.Tensor:
    """The scales of these rows, in a shape that broadcasts over the weight's."""
    if blocks is not None:
        scales = scale.index_select(0, rows // blocks[0])  # [b,I/b]
        return scales.repeat_interleave(blocks[1], dim=1)[:, :width]  # [b,I]
    return scale if scale.shape[0] == 1 else scale.index_select(0, rows)  # [1 or b,…]


def _block(fields: Fields, field: str) -> Block:
    sizes = fields.found.get(field)
    if (
        not isinstance(sizes, list)
        or len(sizes) != 2
        or not all(isinstance(size, int) and not isinstance(size, bool) and 1 <= size <= 2**20 for size in sizes)
    ):
        fields.fail(field, "must be the rows and columns of a block")
    return sizes[0], sizes[1]

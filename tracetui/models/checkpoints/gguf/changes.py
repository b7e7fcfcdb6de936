"""What llama.cpp's converter changes of a model's weights beside the order of queries and keys, undone."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from tracetui.models.checkpoints.gguf.parts import (
    LessOne,
    Logarithm,
    Reordered,
    ReorderedColumns,
    Reshaped,
    TransposedMatrix,
    WeightPart,
)

_PLUS_ONE = ("gemma", "gemma2", "gemma3", "nemotron", "qwen3next", "qwen35", "qwen35moe")
"""Architectures whose norms multiply with 1 + w in transformers, and with w in llama.cpp."""
_TILED = ("qwen35", "qwen35moe")
"""Architectures whose heads of values llama.cpp has in another order where they are more than those of keys."""


def undone(part: WeightPart, name: str, module: nn.Module | None, architecture: str, config: Any) -> WeightPart:
    """A parameter, by transformers' name and module, made of what the file has for it."""
    if name.endswith(".A_log"):
        part = Logarithm(part)
    if name.endswith("norm.weight") and architecture in _PLUS_ONE and not name.endswith("linear_attn.norm.weight"):
        part = LessOne(part)
    if isinstance(module, Conv1D) and name.endswith(".weight"):
        part = TransposedMatrix(part)
    if architecture in _TILED and ".linear_attn." in name:
        part = _heads_untiled(part, name, config)
    if name.endswith((".mixer.norm.weight", ".mamba.norm.weight")):
        part = _of_groups(part, module)
    return part


def _of_groups(part: WeightPart, module: nn.Module | None) -> WeightPart:
    """The weight of a norm over groups, which stand in the file in rows of their own."""
    weight = getattr(module, "weight", None)
    shape = () if weight is None else tuple(weight.shape)
    return Reshaped(part, shape) if len(part.shape) == 2 and prod(part.shape) == prod(shape) else part


def _heads_untiled(part: WeightPart, name: str, config: Any) -> WeightPart:
    """Heads of values after the head of keys that they belong to, as transformers has them; the file has one of each
    head of keys, then the next of each."""
    keys, values = config.linear_num_key_heads, config.linear_num_value_heads
    shape = part.shape
    if keys == values or values % keys or not shape:
        return part
    size = config.linear_value_head_dim
    leaf = name.partition(".linear_attn.")[2]
    if leaf == "out_proj.weight":
        order = _untiled(keys, values, size)
        return ReorderedColumns(part, order) if shape[-1] == len(order) else part
    if leaf in ("A_log", "dt_bias", "in_proj_a.weight", "in_proj_b.weight"):
        size = 1
    elif leaf not in ("in_proj_qkv.weight", "in_proj_z.weight", "conv1d.weight"):
        return part
    before = 0 if leaf not in ("in_proj_qkv.weight", "conv1d.weight") else 2 * keys * config.linear_key_head_dim
    order = torch.cat((torch.arange(before), before + _untiled(keys, values, size)))
    return Reordered(part, order) if shape[0] == len(order) else part


def _untiled(keys: int, values: int, size: int) -> torch.Tensor:
    """For each row of heads in transformers' order the file's row, [values * size]."""
    heads = torch.arange(values).view(values // keys, keys).t().flatten()  # [values]
    return (heads.unsqueeze(1) * size + torch.arange(size)).flatten()


def rows_by_key_head(config: Any, rows: Sequence[int]) -> torch.Tensor:
    """For each row of queries, keys, values and gates, together for each head of keys, the row where all queries come
    first, then all keys, all values and all gates. rows: how many the file has of all but gates, and of gates.
    """
    keys, values = config.linear_num_key_heads, config.linear_num_value_heads
    key_size, value_size = config.linear_key_head_dim, config.linear_value_head_dim * (values // max(1, keys))
    starts, sizes = [], (key_size, key_size, value_size, value_size)
    at = 0
    for size in sizes:
        starts.append(at)
        at += keys * size
    order = [
        torch.arange(start + head * size, start + (head + 1) * size)
        for head in range(keys)
        for start, size in zip(starts, sizes, strict=True)
    ]
    made = torch.cat(order)
    return made if len(made) == sum(rows) else torch.arange(sum(rows))

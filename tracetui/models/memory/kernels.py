"""Code that oneDNN makes for products in bfloat16, and keeps: one kernel for each number of rows.

A mixture gives each expert another number of tokens, so that a long prompt makes hundreds of them (measured with
torch 2.13: 0.4 MiB each for good, and 0.25 MiB for each of the last 1,024).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from tracetui.models.memory.recorded import chosen_experts
from tracetui.models.weights.experts import expert_count, runs_singly

_FOR_GOOD = 400 * 2**10
"""Bytes of one."""
_CACHED = 256 * 2**10
_MOST_CACHED = 1024


def kernel_bytes(model: nn.Module, itemsize: int, positions: int) -> int:
    """Bytes that a pass of so many tokens adds at most; 0 without experts, or where such kernels aren't made."""
    if itemsize != 2 or not positions or not _makes_kernels():
        return 0
    counts = [_counts(module, positions, chosen_experts(model)) for module in model.modules() if runs_singly(module)]
    matrices = max((_matrices(module) for module in model.modules() if runs_singly(module)), default=0)
    # Each layer's numbers of tokens fall where others' have fallen already.
    rows = positions * -math.expm1(-sum(counts) / positions)
    made = round(rows * matrices)
    return made * _FOR_GOOD + min(made, _MOST_CACHED) * _CACHED


def _makes_kernels() -> bool:
    """Whether torch has oneDNN, as its builds for Apple's processors don't, and that makes code for bfloat16 here."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _counts(module: nn.Module, positions: int, chosen: int) -> float:
    """How many different numbers of tokens a layer's experts can be given: 1, 2, … add up to its choices."""
    return min(positions, expert_count(module), math.sqrt(2 * positions * chosen))


def _matrices(module: nn.Module) -> int:
    """Products that an expert's tokens go through."""
    return sum(own.dim() > 2 for own in module.parameters(recurse=False))

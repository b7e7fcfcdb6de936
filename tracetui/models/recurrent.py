"""Which modules call the published kernels of state-space models and linear attention, and how each is called.

transformers calls these functions from the blocks' forwards by the names under which mamba-ssm, causal-conv1d and
flash-linear-attention publish them, with its own torch code where those packages aren't installed. What the arguments
mean is part of each function's interface, whoever computes it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn
from transformers.cache_utils import Cache

KERNELS = frozenset(
    {
        "causal_conv1d_fn",
        "causal_conv1d_update",
        "selective_scan_fn",
        "selective_state_update",
        "mamba_chunk_scan_combined",
        "chunk_gated_delta_rule",
        "fused_recurrent_gated_delta_rule",
        "chunk_kda",
        "fused_recurrent_kda",
        "rwkv_linear_attention",
    }
)
_METHODS = frozenset({"_rnn_scan"})
"""Of a class's own, the recurrence in a step of its own (RG-LRU)."""
_CONV_STATE = "update_conv_state"
"""The cache's own method that takes in what a convolution is given."""
_LINEAR_CACHE = "set_linear_cache"
"""What lightning attention's forward gives its state to, the second thing that it returns."""


def kernels_called(module: nn.Module) -> dict[CodeType, str]:
    """By their code, the functions that a module's class calls for a recurrence or its convolution, and their names.

    The name is empty where transformers' dispatching function runs, which knows the name itself.
    """
    kind: Any = type(module)
    return _called_by(kind)


@cache
def _called_by(kind: type[nn.Module]) -> dict[CodeType, str]:
    file = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
    names: dict[CodeType, str] = {}
    for method in _methods(kind):
        if method.__name__ in _METHODS:
            names[method.__code__] = method.__name__
        if _LINEAR_CACHE in method.__code__.co_names and method.__name__ == "forward":
            names[method.__code__] = "lightning_attention"
        if _CONV_STATE in method.__code__.co_names:
            names[Cache.update_conv_state.__code__] = _CONV_STATE
        for name in method.__code__.co_names:
            names |= _kernel(name, file.get(name))
    return names


def _methods(kind: type[nn.Module]) -> Iterator[FunctionType]:
    if kind.__module__.startswith("torch."):
        return
    for value in vars(kind).values():
        if isinstance(value, FunctionType) and isinstance(method := inspect.unwrap(value), FunctionType):
            yield method


def _kernel(name: str, function: Any) -> dict[CodeType, str]:
    """The code that runs when a global of a modelling file is called, if that is such a kernel."""
    if not isinstance(function, FunctionType):
        return {}
    published = inspect.getclosurevars(function).nonlocals.get("func_name") if _dispatches(function) else None
    if published in KERNELS:
        return {function.__code__: ""}
    return {function.__code__: name} if name in KERNELS and not _dispatches(function) else {}


def _dispatches(function: FunctionType) -> bool:
    return {"func_name", "torch_function"} <= set(function.__code__.co_freevars)

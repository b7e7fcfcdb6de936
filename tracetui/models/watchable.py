"""Which modules can be watched at all: those whose forward is Python and whose numbers are there."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from tracetui.errors import InputError


def check_watchable(model: nn.Module) -> None:
    """Raise InputError for a model that is compiled or scripted, or has no values, naming the first such part."""
    for path, module in model.named_modules():
        if (problem := _problem(module)) is not None:
            raise InputError(f"{path or 'the model'}: {type(module).__name__}: {problem}")


def _problem(module: nn.Module) -> str | None:
    if type(module).__module__.startswith("torch._dynamo") or getattr(module, "_compiled_call_impl", None) is not None:
        return "is compiled by torch.compile, whose inside can't be watched; trace the model that was compiled"
    if isinstance(module, torch.jit.ScriptModule):
        return "is a script module, whose inside can't be watched; trace the Python model that it was made from"
    own = itertools.chain(module._parameters.items(), module._buffers.items())
    if name := next((name for name, tensor in own if tensor is not None and tensor.is_meta), None):
        return f"{name}: is on the device meta and has no values; load the weights first"
    return None

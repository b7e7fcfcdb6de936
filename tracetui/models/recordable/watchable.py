"""Which modules can be watched: those with a forward in Python and tensors that hold numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tracetui.errors import InputError
from tracetui.models.module_tree import KnownModel
from tracetui.models.recordable.watched_call import INSTEAD, is_watched_call


def check_watchable(known: KnownModel) -> None:
    """Raise InputError for a model that is compiled or scripted, or has no values, naming the first such part."""
    known.once(_check)


def _check(modules: Mapping[str, nn.Module]) -> None:
    for path, module in modules.items():
        if (problem := _problem(module)) is not None:
            raise InputError(f"{path or 'the model'}: {type(module).__name__}: {problem}")


def _problem(module: nn.Module) -> str | None:
    kind: Any = type(module)
    call = module.__dict__.get(INSTEAD)
    if _is_compiled(kind) or not (call is None or is_watched_call(call)) or _is_optimised(module.forward):
        return "is compiled by torch.compile, whose inside can't be watched; trace the model that was compiled"
    if _is_script(kind):
        return "is a script module, whose inside can't be watched; trace the Python model that it was made from"
    for own in (module._parameters, module._buffers):
        for name, tensor in own.items():
            if tensor is not None and is_lazy(tensor):
                return f"{name}: has no shape yet, as the module is a lazy one; call the model once first"
            if tensor is not None and tensor.is_meta:
                return f"{name}: is on the device meta and has no values; load the weights first"
    return None


@cache
def _is_compiled(kind: Any) -> bool:
    return bool(kind.__module__.startswith("torch._dynamo"))


def _is_optimised(forward: Any) -> bool:
    """Whether `torch.compile` made a function, and `torch.compiler.disable` didn't take it out again."""
    return hasattr(forward, "_torchdynamo_orig_callable") and not hasattr(forward, "_torchdynamo_disable")


@cache
def _is_script(kind: Any) -> bool:
    return issubclass(kind, torch.jit.ScriptModule)

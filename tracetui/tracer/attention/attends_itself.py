"""Which modules compute attention in calls of torch's own, by their classes' names and by what their code does."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from tracetui.models.recordable.unshown import ATTENTION_INTERFACE, goes_through_interface

_NAMED = ("attention", "attn")
_PRODUCTS = frozenset({"@", "matmul", "bmm", "baddbmm", "einsum"})
_FUSED = "scaled_dot_product_attention"
_DEEPEST = 2
"""How many functions of a file are followed from a method: one that it calls, and one that this calls."""


def attends_itself(module: nn.Module) -> bool:
    """Whether a module may compute attention itself: by its name, or because its code multiplies and has a softmax."""
    kind: Any = type(module)
    if is_called_attention(module):
        return not goes_through_interface(module) or _has_softmax_of_its_own(kind)
    return _attends(kind)


def is_called_attention(module: nn.Module) -> bool:
    """Whether a module's class is called attention, outside of torch."""
    kind: Any = type(module)
    return not kind.__module__.startswith("torch.") and any(word in kind.__name__.lower() for word in _NAMED)


@cache
def _has_softmax_of_its_own(kind: Any) -> bool:
    """Whether a class computes its probabilities beside others in its file that go through the interface."""
    code = getattr(inspect.unwrap(kind.forward), "__code__", None)
    return code is not None and "softmax" in code.co_names and ATTENTION_INTERFACE not in code.co_names


@cache
def _attends(kind: Any) -> bool:
    if kind.__module__.startswith(("torch.", "transformers.")):
        return False
    words = frozenset(_words(kind))
    return _FUSED in words or ("softmax" in words and bool(words & _PRODUCTS))


def _words(kind: Any) -> Iterator[str]:
    """What the methods of a class, and the functions of its file that they call, name and multiply with."""
    for base in kind.__mro__[: kind.__mro__.index(nn.Module)]:
        if not base.__module__.startswith(("torch.", "transformers.")):
            for name, method in vars(base).items():
                if isinstance(method, FunctionType) and name != "__init__":
                    yield from _of_function(inspect.unwrap(method), _DEEPEST)


def _of_function(function: Any, deep: int) -> Iterator[str]:
    if (code := getattr(function, "__code__", None)) is None:
        return
    names = set(_of_code(code))
    yield from names
    if deep:
        for name in names:
            other = function.__globals__.get(name)
            if isinstance(other, FunctionType) and not other.__module__.startswith(("torch.", "transformers.")):
                yield from _of_function(other, deep - 1)


def _of_code(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    if any(step.opname == "BINARY_OP" and step.argrepr == "@" for step in dis.get_instructions(code)):
        yield "@"
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _of_code(inner)

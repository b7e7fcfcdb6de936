"""Modules whose code calls the forward of other modules instead of the modules: torch tells no hook of such a call."""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from tracetui.text import visible

_FORWARD = "forward"
_BASES = (nn.Module, PreTrainedModel, object)
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
_VARIABLE = ("LOAD_FAST", "LOAD_DEREF", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "BINARY_SUBSCR", "BINARY_OP")
"""What another module is read from; a class that is named, and `super()`, run on the module itself."""


def direct_calls(modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """A remark for each kind of module whose forward, or what that calls of its own, calls another module's forward."""
    kinds: Any = dict.fromkeys(type(module) for module in modules.values())
    places = ((kind.__name__, place) for kind in kinds if (place := _place(kind)) is not None)
    return tuple(
        f"{visible(name, 60)} calls the forward of other modules instead of them ({visible(place, 80)}): "
        "what they return to it is not recorded"
        for name, place in sorted(places)
    )


@cache
def _place(kind: Any) -> str | None:
    """`model.py:12`, the first line where a kind of module does so."""
    for code in _own_codes(kind):
        if _FORWARD in code.co_names and (line := _line(code)) is not None:
            return f"{Path(code.co_filename).name}:{line}"
    return None


def _own_codes(kind: type[nn.Module]) -> Iterator[CodeType]:
    """The code of a kind's forward, and of its own methods that may be called by that."""
    own = {name: each for base in reversed(kind.__mro__) if base not in _BASES for name, each in vars(base).items()}
    names = [_FORWARD]
    while names:
        function = own.pop(names.pop(), None)
        if not isinstance(function, FunctionType) or function.__module__.startswith("torch."):
            continue
        # A decorator's own code calls the function that it is around.
        for code in _with_inner(getattr(function, "__wrapped__", function).__code__):
            yield code
            names += code.co_names


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _line(code: CodeType) -> int | None:
    """The first line that calls a method `forward` of what isn't the module itself."""
    steps = list(dis.get_instructions(code))
    for place, step in enumerate(steps):
        if step.argval != _FORWARD or not _is_method(step):
            continue
        start = place - 1
        while start > 0 and steps[start].opname in _ATTRIBUTE:
            start -= 1
        base = steps[start]
        is_self = start == place - 1 and base.argval == "self"
        if base.opname in _VARIABLE and not is_self:
            return _line_of(steps[: place + 1])
    return None


def _is_method(step: dis.Instruction) -> bool:
    """Whether an attribute is looked up to be called: from Python 3.12 on LOAD_ATTR says so by a bit."""
    return step.opname == "LOAD_METHOD" or (
        sys.version_info >= (3, 12) and step.opname == "LOAD_ATTR" and bool(step.arg and step.arg & 1)
    )


def _line_of(steps: list[dis.Instruction]) -> int:
    return next((step.starts_line for step in reversed(steps) if step.starts_line), 0)

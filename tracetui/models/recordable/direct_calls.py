"""Modules whose code calls the forward of other modules instead of the modules: torch tells no hook of such a call."""

from __future__ import annotations

import dis
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, reduce
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from tracetui.text import visible

_FORWARD = "forward"
_BASES = (nn.Module, PreTrainedModel, object)
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
_LIBRARIES = re.compile(r"(torch|numpy|transformers(?!\.models))\.")
_CALLABLE = (FunctionType, ModuleType)
_SUPER_STEPS = 5
"""In which `super(Kind, self)` is called."""
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
    for function, code in codes_of(kind):
        if _FORWARD in code.co_names and (line := _line(code, function.__globals__)) is not None:
            return f"{Path(code.co_filename).name}:{line}"
    return None


def codes_of(kind: type[nn.Module]) -> Iterator[tuple[FunctionType, CodeType]]:
    """The code of a kind's forward, and of its own methods and the functions that may be called by that."""
    own = {name: each for base in reversed(kind.__mro__) if base not in _BASES for name, each in vars(base).items()}
    waiting = [own.get(_FORWARD)]
    visited: set[CodeType] = set()
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or _LIBRARIES.match(f"{function.__module__}."):
            continue
        # A decorator's own code calls the function that it is around.
        function = unwrap(function)
        if not isinstance(function, FunctionType) or function.__code__ in visited:
            continue
        visited.add(function.__code__)
        waiting += captured(function)
        for code in _with_inner(function.__code__):
            yield function, code
            waiting += [own.get(name) for name in code.co_names]
            waiting += _global(function, code)


def captured(function: FunctionType) -> Iterator[object]:
    """What a function made within another one has of that."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # nothing is in it yet
            yield cell.cell_contents


def _global(function: FunctionType, code: CodeType) -> Iterator[object]:
    """The functions of a function's file, and of files it imports, that a part of its code names."""
    known = {name: value for name in code.co_names if isinstance(value := function.__globals__.get(name), _CALLABLE)}
    if not known:
        return
    # An attribute may have the same name.
    named = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    for name in named & known.keys():
        value = known[name]
        if isinstance(value, ModuleType) and not _LIBRARIES.match(f"{value.__name__}."):
            yield from (vars(value).get(other) for other in code.co_names)
        else:
            yield value


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _line(code: CodeType, known: Mapping[str, object]) -> int | None:
    """The first line that calls a method `forward` of what isn't the module itself.

    known: the values of the names that stand in the code's file.
    """
    steps = list(dis.get_instructions(code))
    for place, step in enumerate(steps):
        if step.argval == _FORWARD and _is_method(step) and _is_of_another(steps, place, known):
            return _line_of(step)
    return None


def _is_of_another(every: Sequence[dis.Instruction], place: int, known: Mapping[str, object]) -> bool:
    """Whether the method that a step looks up is that of another module than the code's own."""
    steps = every[:place]
    start = place - 1
    while start > 0 and steps[start].opname in _ATTRIBUTE:
        start -= 1
    base, attributes = steps[start], [step.argval for step in steps[start + 1 :]]
    if base.opname == "LOAD_GLOBAL":
        value = reduce(_attribute, attributes, known.get(base.argval))
        if isinstance(value, type) and issubclass(value, nn.Module):
            # Called by the name of its class, with the module as the first argument.
            return _is_variable(every[place + 1 : place + 3])
        return isinstance(value, nn.Module)
    if base.opname == "CALL":
        return not any(step.argval == "super" for step in steps[max(0, start - _SUPER_STEPS) : start])
    return _is_variable(steps[start:])


def _is_variable(steps: Sequence[dis.Instruction]) -> bool:
    """Whether these steps begin by reading something else than the code's own module, or an attribute of that."""
    base, *after = steps
    return base.opname in _VARIABLE and (base.argval != "self" or bool(after and after[0].opname in _ATTRIBUTE))


def _attribute(value: object, name: str) -> object:
    return getattr(value, name, None)


def _is_method(step: dis.Instruction) -> bool:
    """Whether an attribute is looked up to be called: from Python 3.12 on LOAD_ATTR says so by a bit."""
    return step.opname == "LOAD_METHOD" or (
        sys.version_info >= (3, 12) and step.opname == "LOAD_ATTR" and bool(step.arg and step.arg & 1)
    )


def _line_of(step: dis.Instruction) -> int:
    return (step.positions and step.positions.lineno) or 0

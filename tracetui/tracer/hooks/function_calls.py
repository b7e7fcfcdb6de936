"""The calls of functions that a modelling file makes from a block's forward, overheard by Python's own profiling hook.

Nothing is replaced: the interpreter tells of each call and return in the model's thread while such a block runs.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any


@dataclass(frozen=True, eq=False, slots=True)
class FunctionCall:
    """A function that is running, or has returned."""

    name: str
    """Under which it is published."""
    arguments: Mapping[str, Any]
    """By the names of the function's own parameters."""
    again: Callable[..., Any]
    """Calls it once more with the same arguments and these."""


class FunctionCalls:
    """Tells of the calls of some functions by their code. Used by the model's thread alone."""

    def __init__(self, begun: Callable[[FunctionCall], None], returned: Callable[[FunctionCall, Any], None]) -> None:
        self._begun = begun
        self._returned = returned
        self._codes: Mapping[CodeType, str] = {}
        self._open: tuple[FrameType, FunctionCall] | None = None
        self._on = False

    def listen(self, codes: Mapping[CodeType, str]) -> bool:
        """From now on to these; False if a profiler of somebody else's is on."""
        if not self._on:
            if sys.getprofile() is not None:
                return False
            self._on = True
            sys.setprofile(self._told)
        self._codes, self._open = codes, None
        return True

    def close(self) -> None:
        """Listen to nobody."""
        self._codes, self._open = {}, None
        if self._on:
            self._on = False
            sys.setprofile(None)

    def _told(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "call":
            if self._open is None and frame.f_code in self._codes:
                call = None
                # Whatever a function is called with, looking on must not be what fails.
                with suppress(Exception):
                    call = _call(self._codes[frame.f_code], frame)
                if call is not None:
                    self._open = (frame, call)
                    self._begun(call)
        elif event == "return" and self._open is not None and self._open[0] is frame:
            call, self._open = self._open[1], None
            if value is not None:
                self._returned(call, value)


def _call(name: str, frame: FrameType) -> FunctionCall:
    local = dict(frame.f_locals)
    if name:
        return FunctionCall(name, local, lambda **more: frame.f_globals[name](**(local | more)))
    function, args, kwargs = local["torch_function"], local["args"], local["kwargs"]
    bound = inspect.signature(function).bind_partial(*args, **kwargs)
    bound.apply_defaults()
    implementation, known = local["implementation"], local["applicable_params"]
    passed = {key: value for key, value in kwargs.items() if key in known}
    return FunctionCall(local["func_name"], bound.arguments, lambda **more: implementation(*args, **(passed | more)))

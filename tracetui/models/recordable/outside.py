"""Modules whose code may call modules that are no part of the model: copies, or those of a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from torch import nn

from tracetui.models.recordable.direct_calls import captured, codes_of

_DEEP, _SHALLOW = "deepcopy", "copy"


def may_call_outside(modules: Mapping[str, nn.Module]) -> bool:
    """Whether a module's code copies something, or names a module that stands outside of all."""
    kinds: Any = {type(module) for module in modules.values()}
    return any(map(_may_call_outside, kinds))


@cache
def _may_call_outside(kind: Any) -> bool:
    return any(_names_outside(function, code) for function, code in codes_of(kind))


def _names_outside(function: FunctionType, code: CodeType) -> bool:
    # Dicts and tensors have a method `copy` too.
    copies = _DEEP in code.co_names or function.__globals__.get(_SHALLOW) in (copy, copy.copy)
    if copies and not {_DEEP, _SHALLOW}.isdisjoint(code.co_names):
        return True
    named = (function.__globals__.get(name) for name in code.co_names)
    return any(isinstance(value, nn.Module) for value in (*named, *captured(function)))

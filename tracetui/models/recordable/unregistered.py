"""Modules that a module holds in a plain list, dict or method, which torch doesn't know for parts of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MethodType
from typing import Any

from torch import nn

from tracetui.models.pass_through import PassThrough
from tracetui.text import visible

_CONTAINERS = (list, tuple, set, dict)
_OWN = frozenset({*vars(nn.Module()), "forward"})
"""What torch itself keeps in a module, and a forward of its own, which the module's record is about."""


def unregistered(modules: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """A remark for each attribute whose modules run without being recorded."""
    known = {id(module) for module in modules.values()}
    return tuple(
        f"{visible(f'{path}.{name}' if path else name, 120)} {what}: what is computed there is not recorded"
        for path, module in modules.items()
        if not isinstance(module, PassThrough)
        for name, value in vars(module).items()
        if name not in _OWN and (what := _unrecorded(value, known))
    )


def held_modules(modules: Mapping[str, nn.Module]) -> Iterator[nn.Module]:
    """Those in the lists, dicts and the like of modules, registered or not."""
    for module in modules.values():
        for name, value in vars(module).items():
            if name not in _OWN and isinstance(value, _CONTAINERS):
                yield from _modules(value)


def _unrecorded(value: object, known: set[int]) -> str:
    """Which modules of an attribute's value run unheard; empty for none."""
    if type(value) is MethodType:
        kind = type(value.__self__)
        is_forward = issubclass(kind, nn.Module) and value.__name__ == "forward"
        return f"is the forward of a {visible(kind.__name__, 60)}, of whose calls torch tells nobody" * is_forward
    if not isinstance(value, _CONTAINERS):
        return ""
    count = sum(id(each) not in known for each in _modules(value))
    number = "a module" if count == 1 else f"{count:,} modules"
    return f"holds {number} in a plain {type(value).__name__}, where torch finds none" * bool(count)


def _modules(value: Any, depth: int = 2) -> Iterator[nn.Module]:
    """Those in a container, and in the containers in it."""
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, nn.Module):
            yield each
        elif depth > 1 and isinstance(each, _CONTAINERS):
            yield from _modules(each, depth - 1)

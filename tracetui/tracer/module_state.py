"""What modules keep in themselves from one pass to the next, as the recurrent states of some families."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class ModuleState:
    """The attributes of a model's modules that a pass may change: numbers, tensors that are no weights, and None.

    transformers' caches are arguments; a family that keeps its states in its modules instead would begin a new prompt
    with those of the last one, and can't be taken up again in the middle.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())
        self._first = {path: _kept(module) for path, module in self._modules.items()}

    def restore(self) -> None:
        """Every module as it was at first."""
        for path, module in self._modules.items():
            now, first = _kept(module), self._first[path]
            for name in now.keys() - first.keys():
                delattr(module, name)
            for name in _changed(now, first):
                setattr(module, name, first[name])

    def changed(self) -> str:
        """The path of the first module that has kept something since; empty if none has."""
        kept = (path for path, module in self._modules.items() if _has_changed(_kept(module), self._first[path]))
        return next(kept, "")


def _kept(module: nn.Module) -> dict[str, Any]:
    own = {name: value for name, value in vars(module).items() if _is_state(value)}
    return own | {name: module._buffers.get(name) for name in module._non_persistent_buffers_set}


def _is_state(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | torch.Tensor)


def _changed(now: dict[str, Any], first: dict[str, Any]) -> list[str]:
    return [name for name, value in first.items() if name not in now or not _same(now[name], value)]


def _has_changed(now: dict[str, Any], first: dict[str, Any]) -> bool:
    return now.keys() != first.keys() or bool(_changed(now, first))


def _same(one: Any, other: Any) -> bool:
    """Tensors by identity: a state is made anew in each pass."""
    if one is other:
        return True
    return not isinstance(one, torch.Tensor) and not isinstance(other, torch.Tensor) and bool(one == other)

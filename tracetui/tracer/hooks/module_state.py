"""What modules keep in themselves from one pass to the next, as the recurrent states of some families."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from tracetui.models.recordable.watched_call import INSTEAD

_PLAIN = frozenset({type(None), bool, int, float})
_NEVER: frozenset[type] = frozenset({dict, OrderedDict, set, list, tuple, str})


class ModuleState:
    """The attributes of a model's modules that a run changed: numbers, tensors that are no weights, and None.

    transformers' caches are arguments; a family that keeps its states in its modules instead would begin a new prompt
    with those of the last one, and can't be taken up again in the middle.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = dict(model.named_modules())
        self._first: dict[str, dict[str, Any]] = {}
        self._last: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Call at a run's start: undoes the last run's changes, unless somebody else has changed an attribute since."""
        for path, last in self._last.items():
            self._put_back(self._modules[path], self._first[path], last)
        self._first, self._last = self._kept(), {}

    def end(self) -> None:
        """A run has ended, or goes on later."""
        self._last = self._kept() if self._first else {}

    def changed(self) -> str:
        """The path of the first module that the run changed; empty if it changed none."""
        return next((path for path, last in self._last.items() if _changed(last, self._first[path])), "")

    def _kept(self) -> dict[str, dict[str, Any]]:
        return {path: _kept(module) for path, module in self._modules.items()}

    @staticmethod
    def _put_back(module: nn.Module, first: dict[str, Any], last: dict[str, Any]) -> None:
        now = _kept(module)
        for name in _changed(last, first):
            if name in now and name in last and not _same(now[name], last[name]):
                continue
            if name in first:
                setattr(module, name, first[name])
            elif name in now:
                delattr(module, name)


def _kept(module: nn.Module) -> dict[str, Any]:
    # How a module is called is no state of its own: a watch leaves None there.
    own = {name: value for name, value in module.__dict__.items() if _is_state(value) and name != INSTEAD}
    return own | {name: module._buffers.get(name) for name in module._non_persistent_buffers_set}


def _is_state(value: object) -> bool:
    # By exact types first: nearly all that a module holds are dictionaries.
    kind = type(value)
    return kind in _PLAIN or (kind not in _NEVER and isinstance(value, int | float | torch.Tensor))


def _changed(last: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """The names of what was changed, made or taken away."""
    both = [name for name in first.keys() & last.keys() if not _same(last[name], first[name])]
    return [*both, *(first.keys() ^ last.keys())]


def _same(one: Any, other: Any) -> bool:
    """Tensors by identity: a state is made anew in each pass."""
    if one is other:
        return True
    return not isinstance(one, torch.Tensor) and not isinstance(other, torch.Tensor) and bool(one == other)

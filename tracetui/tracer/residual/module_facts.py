"""What the search for the residual stream asks of a module: told once, so that nothing of it is kept alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn


@dataclass(eq=False, slots=True)
class ModuleFacts:
    """Of one module at one path."""

    kind: object
    """The same of modules that call the same modules in the same order."""
    is_norm: bool
    """Whether it is one, or stands where others have one."""
    is_leaf: bool
    """Whether no module is inside it."""
    own: Callable[[], Sequence[torch.Tensor]]
    """The parameters of its own with one axis, as they are now."""

    @classmethod
    def of(cls, path: str, module: nn.Module) -> ModuleFacts:
        children = [(name, type(child)) for name, child in module._modules.items() if child is not None]
        is_norm = "norm" in type(module).__name__.lower() or "norm" in path.rpartition(".")[2].lower()
        own = partial(_own, module) if _own(module) else _none
        return cls((type(module), *children), is_norm, not children, own)

    def freeze(self) -> None:
        """From now on its parameters are what they are now, and the module need not live."""
        if self.own is not _none:
            own = tuple(each.detach().clone() for each in self.own())
            self.own = lambda: own


def _own(module: nn.Module) -> list[torch.Tensor]:
    return [each for each in module._parameters.values() if each is not None and each.dim() == 1]


def _none() -> Sequence[torch.Tensor]:
    return ()

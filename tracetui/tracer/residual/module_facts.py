"""What the search for the residual stream asks of a module; nothing of it is kept alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from weakref import ReferenceType, ref

import torch
from torch import nn

from tracetui.models.ranks.local import is_all_here, local_tensor


@dataclass(frozen=True, eq=False, slots=True)
class ModuleFacts:
    """Of one module at one path, as long as the model is built as it is."""

    kind: object
    """The same of modules that call the same modules in the same order."""
    is_norm: bool
    """Whether it is one, or stands where others have one."""
    is_leaf: bool
    """Whether no module is inside it."""
    own: Callable[[], Sequence[torch.Tensor]]
    """The parameters of its own with one axis, as they are now; `none` where it has none."""

    @classmethod
    def of(cls, path: str, module: nn.Module) -> ModuleFacts:
        children = [(name, type(child)) for name, child in module._modules.items() if child is not None]
        is_norm = "norm" in type(module).__name__.lower() or "norm" in path.rpartition(".")[2].lower()
        own = partial(_own, ref(module)) if _own(ref(module)) else none
        return cls((type(module), *children), is_norm, not children, own)


def _own(living: ReferenceType[nn.Module]) -> list[torch.Tensor]:
    module = living()
    parameters = () if module is None else module._parameters.values()
    vectors = (each for each in parameters if each is not None and each.dim() == 1)
    return [local_tensor(each) for each in vectors if is_all_here(each)]


def none() -> Sequence[torch.Tensor]:
    """Of a module without any."""
    return ()

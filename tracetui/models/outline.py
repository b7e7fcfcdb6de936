"""The module tree as the screen shows it, read off a model that has no memory."""

from __future__ import annotations

from torch import nn

from tracetui.models.build import PassThrough
from tracetui.session import Module


def outline(model: nn.Module) -> Module:
    """The tree of a model, with shapes and parameter counts; a tied tensor counts where it stands first."""
    return _module("", model, seen=set())


def _module(path: str, module: nn.Module, seen: set[nn.Parameter]) -> Module:
    own = {name: tensor for name, tensor in module._parameters.items() if tensor is not None}
    counted = sum(tensor.numel() for tensor in own.values() if tensor not in seen)
    seen.update(own.values())
    children = tuple(
        _module(f"{path}.{name}" if path else name, child, seen) for name, child in module.named_children()
    )
    return Module(
        path=path,
        kind=type(module).__name__,
        parameters=counted + sum(child.parameters for child in children),
        weights=tuple((name, tuple(tensor.shape)) for name, tensor in own.items()),
        children=children,
        skipped=isinstance(module, PassThrough),
    )

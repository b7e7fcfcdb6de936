"""What a watch has put on modules and must take off: hooks, and calls of its own."""

from __future__ import annotations

from torch import nn

from tracetui.models.recordable.watched_call import INSTEAD


def hooks_left(model: nn.Module) -> int:
    """How much of it there is on a model's modules."""
    return sum(
        len(each._forward_hooks)
        + len(each._forward_pre_hooks)
        + len(each._forward_pre_hooks_with_kwargs)
        + (vars(each).get(INSTEAD) is not None)
        for each in model.modules()
    )

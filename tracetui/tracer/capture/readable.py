"""Tensors whose numbers can be read: those of a stranger's model may be of kinds that torch itself fails on."""

from __future__ import annotations

from typing import TypeGuard

import torch

from tracetui.recording.record import layer_path

stands_for_many = torch._C._functorch.is_functorch_wrapped_tensor
"""Whether a tensor is what one of torch.func's transforms computes with in place of many, and gone when that is."""
_NESTED = "is nested"
"""Packed rows of different lengths."""


def is_readable(value: object) -> TypeGuard[torch.Tensor]:
    """Whether something is a tensor of which there is something to record."""
    if type(value) is torch.Tensor and value.layout is torch.strided and not value.is_nested:
        # Nearly all there are; what a subclass answers to is asked below.
        return not (value.is_meta or value.is_quantized or stands_for_many(value))
    return isinstance(value, torch.Tensor) and not unreadable(value)


def left_out(site: str, tensor: torch.Tensor) -> str:
    """The remark on a tensor that can't be recorded; one for all layers of a stack that hands on packed prompts."""
    reason = unreadable(tensor)
    if reason != _NESTED or not (layer := layer_path(site)):
        return f"{site}: {reason}, and is not recorded"
    stack = layer.rpartition(".")[0]
    remark = "its layers hand on prompts of different lengths in nested tensors, which are not recorded"
    return f"{stack}: {remark}; nn.TransformerEncoder makes none with enable_nested_tensor=False"


def unreadable(tensor: torch.Tensor) -> str:
    """`is sparse`: why a tensor's numbers can't be read; empty if they can."""
    try:
        if tensor.is_meta:
            return "is on the device meta"
        if tensor.is_quantized:
            # Taking its bits for numbers ends the process.
            return "is quantised"
        if tensor.is_nested:
            return _NESTED
        if tensor.layout is not torch.strided:
            return "is sparse"
        # Inside torch.func's transforms: a stand-in for many tensors, gone when the transform is.
        return "stands for many in torch.func" if stands_for_many(tensor) else ""
    except Exception:
        # A subclass whose own code answers.
        return "doesn't let itself be looked at"

"""Tensors of snapshots where they can be looked at without waiting for a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tracetui.tracer.capture.snapshots import Snapshots


def at_hand(snapshots: Snapshots, about: Sequence[Any]) -> Sequence[Any]:
    """The same tensors, in lists and beside what is none, on the processor."""
    return [_at_hand(snapshots, each) for each in about]


def _at_hand(snapshots: Snapshots, about: Any) -> Any:
    if not isinstance(about, torch.Tensor):
        return about if about is None else at_hand(snapshots, about)
    if about.is_cpu:
        return about
    value = snapshots.value(about)
    return about.cpu() if value is None else value.at_hand.cpu()

"""The shapes of a pass's values, by which a later pass is known to be like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tracetui.tracer.capture.snapshots import Snapshots
from tracetui.tracer.deferred import describing as steps
from tracetui.tracer.deferred.describing import Log


@dataclass(frozen=True, eq=False, slots=True)
class PassShapes:
    """Shapes and dtypes of a pass's values, as far as what else there is in records may depend on them."""

    exact: Mapping[int, torch.Size]
    """By the numbers of values that modules were given or returned, and of queries."""
    grown: Mapping[int, tuple[int, torch.Size]]
    """Of keys, values and masks, which grow with the tokens: how many axes, and the batch and the heads alone."""
    dtypes: Sequence[torch.dtype]

    @classmethod
    def of(cls, log: Log, snapshots: Snapshots) -> PassShapes:
        """Of a pass that came by."""
        items = list(zip(log[:: steps.WIDTH], log[2 :: steps.WIDTH], strict=True))
        beside = {number for kind, numbers in items if kind == steps.KERNEL_BEGAN for number in numbers[1:]}
        others = {number for kind, numbers in items for number in seen_as_they_are(kind, numbers)}
        tensors = [value.captured for value in snapshots.values]
        grown = {number: _kind(tensors[number].shape) for number in sorted(beside - others)}
        exact = {number: tensor.shape for number, tensor in enumerate(tensors) if number not in grown}
        return cls(exact, grown, [tensor.dtype for tensor in tensors])

    def are_of(self, snapshots: Snapshots) -> bool:
        """Whether those of another pass are alike."""
        tensors = snapshots.captured
        if [tensor.dtype for tensor in tensors] != self.dtypes:
            return False
        # One at a time: a list of all would have the collector come.
        if any(tensors[number].shape != shape for number, shape in self.exact.items()):
            return False
        return all(_kind(tensors[number].shape) == kind for number, kind in self.grown.items())


def _kind(shape: torch.Size) -> tuple[int, torch.Size]:
    """What of a shape doesn't grow with the tokens."""
    return len(shape), shape[:2]


def seen_as_they_are(kind: int, numbers: Any) -> Sequence[int]:
    """The values of a step, by number, that it tells of as they are: not what grows with the tokens."""
    if kind == steps.RETURNED:
        return numbers[1]  # type: ignore[no-any-return]
    if kind == steps.BEGAN_WITH:
        return numbers[1:]  # type: ignore[no-any-return]
    return numbers[:1] if kind == steps.KERNEL_BEGAN else (numbers,)

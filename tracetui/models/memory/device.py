"""How much of a run's memory is a GPU's, and whether the GPU has it."""

from __future__ import annotations

from dataclasses import replace

from tracetui.analysis.memory import DevicePlan, MemoryPlan
from tracetui.errors import InputError
from tracetui.models.devices.memory import free_bytes
from tracetui.models.devices.uploads import AHEAD, STAGING
from tracetui.models.weights.streaming import Weights
from tracetui.text import size

HEADROOM = 0.95
"""The share of the available memory that a plan may take: estimates are no promises."""
_ON_THEIR_WAY = 2**31
"""Bytes of recorded tensors that wait on a GPU at most, where they need not stay until their pass is described."""


def on_device(plan: MemoryPlan, weights: Weights, recorded: int) -> MemoryPlan:
    """The plan of a run on the processor, divided between it and the device that has the weights.

    recorded: bytes that one pass records.
    """
    plan = replace(plan, alive=0, reused=0, kernels=0)
    ahead = min(AHEAD, max(0, plan.weights - plan.kept))
    device = DevicePlan(
        name=str(weights.device),
        weights=plan.weights + ahead,
        kept=plan.kept,
        recorded=recorded,
        at_work=plan.at_work,
        cache=plan.cache,
        available=free_bytes(weights.device),
        held=weights.present_bytes,
    )
    if device.peak - device.held > device.available * HEADROOM:
        device = replace(device, recorded=min(recorded, _ON_THEIR_WAY), holds_pass=False)
    made = weights.largest_bytes + 2 * STAGING
    return replace(plan, weights=made, kept=0, passing=0, working=0, attending=0, cache=0, on_device=device)


def check_device(plan: DevicePlan) -> None:
    """Refuse a plan that can't fit a GPU. Raises InputError with both sizes and advice."""
    needed = plan.peak - plan.held
    if needed <= plan.available * HEADROOM:
        return
    advice = "use a shorter prompt or fewer rows"
    most = max(plan.weights, plan.recorded, plan.at_work + plan.cache)
    if most == plan.weights:
        advice = "use fewer layers (--layers), or keep fewer weights there (--memory 0)"
    raise InputError(
        f"{plan.name}: this run needs {size(needed)} more memory there and {size(plan.available)} is free: weights "
        f"{size(plan.weights)}, recorded tensors on their way {size(plan.recorded)}, cache {size(plan.cache)}, at work "
        f"{size(plan.at_work)}; {advice}, or run on the processor (--device cpu)"
    )

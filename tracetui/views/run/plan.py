"""The memory that a run will need, in words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tracetui.analysis.memory import DevicePlan, MemoryPlan, PartPlan
from tracetui.text import about_size, size, visible

_NAME, _AMOUNT = 15, 12
"""Columns of the narrow table."""


def peak_of(peak: int, available: int) -> str:
    """`peak about 2.19 GiB of 6.1 GiB`: a plan's whole, as it is said everywhere."""
    return f"peak about {about_size(peak)} of {about_size(available)}"


def plan_line(plan: MemoryPlan) -> str:
    """The whole on one line."""
    if not plan.planned:
        return f"memory: the program holds {about_size(plan.base)}, and {about_size(plan.available)} are available"
    cache = f", cache {size(plan.cache)}" if plan.cache else ""
    kept = f", {size(plan.kept)} of it kept" if plan.kept else ""
    return (
        f"memory: {peak_of(plan.peak, plan.available)} available: weights {size(plan.weights)} at "
        f"once{kept}, recorded {size(plan.activations)} (logits {size(plan.logits)}, attention "
        f"{size(plan.attention)}), at work {size(plan.at_work)}{cache}, program {size(plan.base)}"
        f"{device_line(plan.on_device)}"
    )


def device_line(plan: DevicePlan | None) -> str:
    """What a GPU holds of a run, after what the processor's memory does; empty without one."""
    if plan is None:
        return ""
    cache = f", cache {size(plan.cache)}" if plan.cache else ""
    kept = f", {size(plan.kept)} of it kept" if plan.kept else ""
    return (
        f"; {plan.name}: {peak_of(plan.peak, plan.available + plan.held)} available: weights "
        f"{size(plan.weights)} at once{kept}, recorded {size(plan.recorded)} until it is copied, at work "
        f"{size(plan.at_work)}{cache}"
    )


def part_lines(plan: MemoryPlan) -> Iterator[str]:
    """A line for each layer, equal ones that follow one another as one."""
    named = [(_named(group), group[0]) for group in _equal(plan.parts)]
    width = max((len(name) for name, _ in named), default=0)
    for name, part in named:
        yield f"  {name:<{width}}  weights {size(part.weights):>11}, recorded {size(part.recorded):>11}"


def plan_table(plan: MemoryPlan) -> Iterator[str]:
    """The same in narrow columns, an amount a line, and then the layers."""
    if not plan.planned:
        yield plan_line(plan)
        return
    yield f"memory: {peak_of(plan.peak, plan.available)}"
    rows = (
        ("weights at once", plan.weights),
        (" of it kept", plan.kept),
        ("recorded", plan.activations),
        (" logits", plan.logits),
        (" attention", plan.attention),
        ("at work", plan.at_work),
        ("cache", plan.cache),
        ("program", plan.base),
    )
    yield from (f"  {name:<{_NAME}}{size(amount):>{_AMOUNT}}" for name, amount in rows if amount)
    yield from _device_table(plan.on_device)
    named = [(_in_short(group), group[0]) for group in _equal(plan.parts)]
    if named:
        yield f"  {'layers':<{_NAME}}{'weights':>{_AMOUNT}}{'recorded':>{_AMOUNT}}"
    for name, part in named:
        yield f"  {name:<{_NAME}}{size(part.weights):>{_AMOUNT}}{size(part.recorded):>{_AMOUNT}}"


def _device_table(plan: DevicePlan | None) -> Iterator[str]:
    if plan is None:
        return
    yield f"{plan.name}: {peak_of(plan.peak, plan.available + plan.held)}"
    rows = (
        ("weights at once", plan.weights),
        (" of it kept", plan.kept),
        ("recorded", plan.recorded),
        ("at work", plan.at_work),
        ("cache", plan.cache),
    )
    yield from (f"  {name:<{_NAME}}{size(amount):>{_AMOUNT}}" for name, amount in rows if amount)


def _in_short(group: list[PartPlan]) -> str:
    """`0–2, each`: layers by their numbers alone."""
    first, last = (part.path.rpartition(".")[2] for part in (group[0], group[-1]))
    if not first:
        return "outside"
    return f"{visible(first, 8)}–{visible(last, 8)}, each" if len(group) > 1 else visible(first, _NAME)


def _equal(parts: tuple[PartPlan, ...]) -> Iterator[list[PartPlan]]:
    for _, group in groupby(parts, key=lambda part: (part.weights, part.recorded, bool(part.path))):
        yield list(group)


def _named(group: list[PartPlan]) -> str:
    first, last = group[0].path, group[-1].path
    if len(group) > 1:
        return f"{visible(first, 60)}–{last.rpartition('.')[2]}, each of {len(group)}"
    return visible(first, 60) or "outside the layers"

"""The memory that a run will need, in words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tracetui.analysis.memory import MemoryPlan, PartPlan
from tracetui.text import size, visible


def plan_line(plan: MemoryPlan) -> str:
    """The whole on one line."""
    if not plan.planned:
        return f"memory: the program holds {size(plan.base)}, and {size(plan.available)} are available"
    cache = f", cache {size(plan.cache)}" if plan.cache else ""
    kept = f", {size(plan.kept)} of it kept" if plan.kept else ""
    return (
        f"memory: peak about {size(plan.peak)} of {size(plan.available)} available: weights {size(plan.weights)} at "
        f"once{kept}, recorded {size(plan.activations)} (logits {size(plan.logits)}, attention "
        f"{size(plan.attention)}), at work {size(plan.at_work)}{cache}, program {size(plan.base)}"
    )


def part_lines(plan: MemoryPlan) -> Iterator[str]:
    """A line for each layer, equal ones that follow one another as one."""
    named = [(_named(group), group[0]) for group in _equal(plan.parts)]
    width = max((len(name) for name, _ in named), default=0)
    for name, part in named:
        yield f"  {name:<{width}}  weights {size(part.weights):>11}, recorded {size(part.recorded):>11}"


def _equal(parts: tuple[PartPlan, ...]) -> Iterator[list[PartPlan]]:
    for _, group in groupby(parts, key=lambda part: (part.weights, part.recorded, bool(part.path))):
        yield list(group)


def _named(group: list[PartPlan]) -> str:
    first, last = group[0].path, group[-1].path
    if len(group) > 1:
        return f"{visible(first, 60)}–{last.rpartition('.')[2]}, each of {len(group)}"
    return visible(first, 60) or "outside the layers"

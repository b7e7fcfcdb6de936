"""The memory plan in words."""

from __future__ import annotations

from tracetui.analysis.memory import MemoryPlan, PartPlan
from tracetui.views.run.plan import part_lines, plan_line

PARTS = (*(PartPlan(f"model.layers.{n}", 2**30, 2**20) for n in range(3)), PartPlan("model.layers.3", 2**33, 2**21))
PLAN = MemoryPlan(2**31, 2**30, 2**20, 2**24, 2**28, 2**34, 2**12, 2**13, (*PARTS, PartPlan("", 5, 6)))


def test_the_whole_is_one_line() -> None:
    assert plan_line(PLAN) == (
        "memory: peak about 2.27 GiB of 16.0 GiB available: weights 2.00 GiB at once, 1.00 GiB of it kept, recorded "
        "1.00 MiB (logits 4.00 KiB, attention 8.00 KiB), at work 16.00 MiB, program 256.00 MiB"
    )


def test_equal_layers_are_one_line() -> None:
    assert list(part_lines(PLAN)) == [
        "  model.layers.0–2, each of 3  weights    1.00 GiB, recorded    1.00 MiB",
        "  model.layers.3               weights    8.00 GiB, recorded    2.00 MiB",
        "  outside the layers           weights         5 B, recorded         6 B",
    ]


def test_a_plan_without_parts_has_no_more_lines() -> None:
    assert not list(part_lines(MemoryPlan(0, 0, 0, 0, 0, 0)))

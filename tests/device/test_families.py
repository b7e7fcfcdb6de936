"""Models on a GPU that isn't there: what each family records there, and that nothing mixes devices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.device.families import CONFIGS, recipe
from tests.device.stand_in import StandIn
from tests.tracer.tiers import differences
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe


@pytest.fixture
def gpu() -> Iterator[StandIn]:
    with StandIn().there() as stand_in:
        yield stand_in


def _alike(one: Trace, other: Trace) -> list[str]:
    return list(differences((one, []), (other, [])))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_family_leaves_the_same_trace_on_both_devices(family: str, gpu: StandIn) -> None:
    on_gpu = trace_recipe(recipe(family, device="cuda"))
    assert _alike(trace_recipe(recipe(family)), on_gpu) == []

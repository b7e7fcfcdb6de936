"""Runs on a GPU that isn't there: what is waited for, further tokens, edits, stops, reruns, modules of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tracetui
from tests.device.families import recipe
from tests.device.stand_in import GPU, StandIn
from tests.tracer.models import prompt, tiny_llama
from tests.tracer.tiers import differences, recorded
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.recipe import Generation
from tracetui.recording.keep import parse_keep
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe


@pytest.fixture
def gpu() -> Iterator[StandIn]:
    with StandIn().there() as stand_in:
        yield stand_in


def _differences(one: Trace, other: Trace) -> list[str]:
    return list(differences((one, []), (other, [])))


def _on_both(**fields: Any) -> tuple[Trace, Trace]:
    return trace_recipe(recipe("llama", **fields)), trace_recipe(recipe("llama", **fields, device="cuda"))


def _layers(count: int) -> dict[str, Any]:
    made = recipe("llama")
    return {"config": {**made.config, "num_hidden_layers": count}, "layers": replace(made.layers, stop=count)}


def _waits_of_a_run(gpu: StandIn, layers: int, waits: bool = False, stops: tuple[Stop, ...] = DEFAULT_STOPS) -> int:
    """How often a run waits for the GPU whose weights are there already. waits: as a screen's does at stops."""
    engine = Engine(recipe("llama", device="cuda", **_layers(layers)))
    prompts = engine.runnable.recipe.prompts
    engine.run(prompts, Gate(waits=waits, stops=stops))
    gpu.waits.clear()
    engine.run(prompts, Gate(waits=waits, stops=stops))
    return len(gpu.waits)


def test_a_run_waits_once_however_many_records_there_are(gpu: StandIn) -> None:
    few, many = (_waits_of_a_run(gpu, layers) for layers in (2, 5))
    assert few == many <= 3


def test_a_screen_waits_at_each_record_only_where_a_stop_may_hold(gpu: StandIn) -> None:
    few, many = (_waits_of_a_run(gpu, layers, waits=True, stops=()) for layers in (2, 5))
    assert few == many <= 3
    assert _waits_of_a_run(gpu, 2, waits=True) > 30


def test_a_call_of_a_module_waits_once_however_many_records_there_are(gpu: StandIn) -> None:
    waits = []
    for layers in (2, 5):
        model = tiny_llama(num_hidden_layers=layers).to(GPU)
        ids = prompt().to(GPU)
        gpu.waits.clear()
        with torch.no_grad():
            model(input_ids=ids, use_cache=False)
        plain = len(gpu.waits)
        gpu.waits.clear()
        trace = tracetui.trace(model, input_ids=ids, use_cache=False)
        assert len(trace.records) > 40
        waits.append(len(gpu.waits) - plain)
    assert waits[0] == waits[1]
    assert waits[1] <= 4


def test_a_module_on_a_gpu_leaves_the_trace_that_it_leaves_on_the_processor(gpu: StandIn) -> None:
    model, ids = tiny_llama(), prompt(2)
    for later in (False, True):
        plain = recorded(model.to("cpu"), {"input_ids": ids, "use_cache": False}, later)
        there = recorded(model.to(GPU), {"input_ids": ids.to(GPU), "use_cache": False}, later)
        assert list(differences(plain, there)) == []


def test_what_is_captured_is_what_was_returned(gpu: StandIn) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.first(x)  # [B,4]
            self.returned = made.detach().cpu().clone()
            return made.mul_(3)

    model = InPlace().to(GPU)
    trace = tracetui.trace(model, torch.ones(2, 4).to(GPU))
    np.testing.assert_array_equal(trace["first"], model.returned.numpy())


def test_weights_that_come_and_go_lie_on_the_gpu(gpu: StandIn) -> None:
    kept, streamed = (trace_recipe(recipe("llama", device="cuda", memory=memory)) for memory in (None, 0))
    assert _differences(kept, streamed) == []


def test_further_tokens_are_the_same(gpu: StandIn) -> None:
    plain, there = _on_both(generation=Generation(count=3, stop=()))
    assert _differences(plain, there) == []
    assert there.generated == (3,)


def test_drawn_tokens_are_the_same(gpu: StandIn) -> None:
    generation = Generation(count=3, stop=(), temperature=2.0, top_k=20, seed=5)
    plain, there = _on_both(generation=generation)
    assert plain.tokens == there.tokens


@pytest.mark.parametrize(
    "fields",
    [
        {"keep": parse_keep(["stats"], "keep")},
        {"keep": parse_keep(["*.mlp"], "keep")},
        {"lens": 3},
        {"attention": "probs"},
        {"edits": (parse_edit("layers.0.self_attn head 1: zero", "edits"),)},
        {"edits": (parse_edit("layers.1.mlp: noise 0.5", "edits"), parse_edit("layers.0: skip", "edits"))},
        {"edits": (parse_edit("layers.1.self_attn:probs: scale 0.5", "edits"),)},
        {"dtype": "bfloat16"},
    ],
    ids=str,
)
def test_every_way_to_record_is_the_same(fields: dict[str, Any], gpu: StandIn) -> None:
    plain, there = _on_both(**fields)
    assert [record.key for record in plain.records] == [record.key for record in there.records]
    for record in plain.records:
        one, other = plain.value(record), there.value(there.records[record.index])
        assert other.statistics().mean == pytest.approx(one.statistics().mean, rel=1e-6, nan_ok=True), record.key
        assert type(one).__name__ == "StatisticsValue" or np.array_equal(one.read(), other.read()), record.key


def test_a_stop_holds_at_the_very_record(gpu: StandIn) -> None:
    edit = parse_edit("layers.0.mlp.up_proj: set nan", "edits")
    hits = []
    for device in ("cpu", "cuda"):
        told: list[Any] = []
        trace_recipe(recipe("llama", device=device, edits=(edit,)), stops=DEFAULT_STOPS, emit=told.append)
        hits.append([hit.index for event in told for hit in getattr(event, "hits", ())])
    assert hits[0] == hits[1]
    assert hits[0]


def test_a_run_taken_up_again_on_a_gpu_is_the_same(gpu: StandIn) -> None:
    engine = Engine(recipe("llama", device="cuda", generation=Generation(count=2, stop=())), goes_on=True)
    first = engine.run(engine.runnable.recipe.prompts, Gate(waits=False))
    at = next(record.index for record in first.records if record.key == "model.layers.1.mlp@1")
    again = engine.rerun(at, Gate(waits=False))
    assert _differences(first, again) == []

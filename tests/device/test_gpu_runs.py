"""Runs on a GPU that isn't there: what is waited for, further tokens, edits, stops, reruns, modules of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn
from transformers.models.llama.modeling_llama import LlamaMLP

import tracetui
from tests.device.families import recipe
from tests.device.stand_in import GPU, StandIn
from tests.tracer.models import prompt, tiny_llama
from tests.tracer.tiers import differences, recorded
from tracetui.debugger.fault import ModelError
from tracetui.debugger.session import Started
from tracetui.errors import Cancelled, InputError
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import TensorSpec
from tracetui.recipe import Generation
from tracetui.recording.keep import parse_keep
from tracetui.recording.trace import Trace
from tracetui.tracer.caller import Caller
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe
from tracetui.views.run.plan import plan_line, plan_table


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


def _waits_of_a_run(
    gpu: StandIn, layers: int, waits: bool = False, stops: tuple[Stop, ...] = DEFAULT_STOPS, **fields: Any
) -> int:
    """How often a second run waits for the GPU. waits: as a screen's does at stops."""
    engine = Engine(recipe("llama", device="cuda", **_layers(layers), **fields))
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


def test_weights_that_come_and_go_lie_on_the_gpu_and_nobody_waits_for_them(gpu: StandIn) -> None:
    few, many = (_waits_of_a_run(gpu, layers, memory=0) for layers in (2, 5))
    assert few == many <= 3
    for family in ("llama", "mixtral"):
        streamed = Engine(recipe(family, device="cuda", memory=0))
        trace = streamed.run(streamed.runnable.recipe.prompts, Gate(waits=False))
        assert _differences(trace_recipe(recipe(family)), trace) == []
        slots = list(streamed.runnable.weights.all_slots())
        assert all(slot.look(module) is slot.placeholder for module, slot in slots)
        assert not streamed.runnable.weights.loans


@pytest.mark.parametrize("memory", [None, 0])
@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.embed_tokens.weight"]
)
def test_a_bad_weight_is_named_although_it_is_gone_when_that_is_described(
    memory: int | None, name: str, gpu: StandIn
) -> None:
    read = RandomSource.read

    def bad(source: RandomSource, spec: TensorSpec, rows: Any, tick: Any) -> torch.Tensor:
        made = read(source, spec, rows, tick)
        if spec.name == name:
            made.view(-1)[3] = torch.nan
        return made

    with patch.object(RandomSource, "read", bad):
        plain, there = (
            trace_recipe(recipe("llama", device=device, memory=memory), stops=DEFAULT_STOPS)
            for device in ("cpu", "cuda")
        )
    assert any(name in note for note in plain.run.notes)
    assert _differences(plain, there) == []


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


def test_memory_that_runs_out_is_told_with_the_module_and_what_was_recorded_stays(gpu: StandIn) -> None:
    told = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has 9 GiB of which 1.25 GiB is free. See the manual"

    def full(*args: object) -> None:
        raise torch.OutOfMemoryError(told)

    with patch.object(LlamaMLP, "forward", full), pytest.raises(ModelError) as failed:
        trace_recipe(recipe("llama", device="cuda"))
    words = "the GPU's memory is full: 2.50 GiB more were wanted, 1.25 GiB are free; use a shorter prompt"
    assert str(failed.value).startswith(f"model.layers.0.mlp (LlamaMLP) failed: {words}")
    trace = failed.value.trace
    assert trace.find("model.layers.0.self_attn") is not None
    assert not any(value.captured.is_cuda for value in trace.values if isinstance(value, TorchValue))


def test_nothing_stays_on_the_gpu_of_a_run_that_was_left(gpu: StandIn) -> None:
    gate, events = Gate(waits=False), list[Any]()
    engine = Engine(recipe("llama", device="cuda"), events.append)
    layer = engine.runnable.built.module.get_submodule("model.layers.1")
    layer.register_forward_pre_hook(lambda module, args: gate.cancel())
    with pytest.raises(Cancelled):
        engine.run(engine.runnable.recipe.prompts, gate)
    trace = next(event.trace for event in events if isinstance(event, Started))
    assert trace.find("model.layers.0.mlp") is not None
    assert not any(value.captured.is_cuda for value in trace.values if isinstance(value, TorchValue))


def test_a_plan_counts_both_memories_and_refuses_by_the_one_that_is_short() -> None:
    with StandIn(free=2**30).there():
        plan = Engine(recipe("llama", device="cuda")).prepared.plan
    assert plan.on_device is not None
    assert plan.on_device.kept > 0 == plan.kept
    assert "cuda:0: peak about" in plan_line(plan)
    assert any("cuda:0: peak" in line for line in plan_table(plan))
    with StandIn(free=2**12).there(), pytest.raises(InputError, match=r"^cuda:0: this run needs .* more memory there"):
        trace_recipe(recipe("llama", device="cuda"))


def test_where_a_pass_does_not_fit_values_leave_the_gpu_as_they_come() -> None:
    plain = trace_recipe(recipe("llama"))
    with StandIn(free=90_000).there(), patch("tracetui.models.memory.device._ON_THEIR_WAY", 2**10):
        engine = Engine(recipe("llama", device="cuda", memory=2**20))
        assert engine.prepared.plan.on_device is not None
        assert not engine.prepared.plan.on_device.holds_pass
        assert _differences(plain, engine.run(engine.runnable.recipe.prompts, Gate(waits=False))) == []


@pytest.mark.parametrize("full_after", [1, 3, 12])
def test_a_gpu_that_fills_up_holds_no_more_and_the_trace_is_the_same(full_after: int, gpu: StandIn) -> None:
    copies, asked = "tracetui.tracer.capture.host_copies", []

    def free(device: torch.device) -> int:
        asked.append(device)
        return 0 if len(asked) >= full_after else 2**40

    model, ids = tiny_llama(num_hidden_layers=3), prompt()
    plain = tracetui.trace(model, input_ids=ids, use_cache=False)
    model.to(GPU)
    with patch(f"{copies}.free_bytes", free), patch(f"{copies}._BATCH", 2**11), patch(f"{copies}._LOOKED_FOR", 2**11):
        there = tracetui.trace(model, input_ids=ids.to(GPU), use_cache=False)
    assert len(asked) == full_after
    assert [record.key for record in plain.records] == [record.key for record in there.records]
    assert [record.inputs for record in plain.records] == [record.inputs for record in there.records]
    for record in plain.records:
        np.testing.assert_array_equal(plain[record], there[record], err_msg=record.key)


def test_the_callers_gpu_and_stream_are_meant_on_the_models_thread_too() -> None:
    with patch("torch.cuda.is_initialized", lambda: True), StandIn().there() as gpu:
        caller, entered = Caller.here(), list[object]()

        @contextmanager
        def enter(what: object) -> Iterator[None]:
            entered.append(what)
            yield

        with patch("torch.cuda.device", enter), patch("torch.cuda.stream", enter), caller.applied():
            assert entered == [0, gpu.stream]
    assert Caller.here().gpu is None

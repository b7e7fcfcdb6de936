"""Running recipes: the same numbers however weights come and go, and nothing left behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from torch import nn

from tests.tracer.latent_models import EXPERTS, LATENT
from tests.tracer.recipes import recipe
from tracetui.analysis.attention.scores import attention_at
from tracetui.analysis.memory import MemoryPlan
from tracetui.analysis.rope.pairs import RopeCheck, check_rope
from tracetui.debugger.session import Event, Progress, Started
from tracetui.errors import Cancelled, InputError
from tracetui.models.memory.plan import check
from tracetui.models.runnable import RANDOM_REMARK
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import Layers, texts
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe


def assert_same(one: Trace, other: Trace) -> None:
    assert [record.key for record in one.records] == [record.key for record in other.records]
    for record in one.records:
        np.testing.assert_array_equal(one[record.key], other[record.key], err_msg=record.key)


def placeholders(weights: Weights) -> list[bool]:
    """For every slot, whether nothing lies in it."""
    return [module._parameters[slot.parameter] is slot.placeholder for module, slot in weights.all_slots()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_streamed_weights_give_what_resident_ones_give(dtype: str) -> None:
    whole = trace_recipe(recipe(dtype=dtype, memory=2**40))
    for budget in (0, 10_000):
        assert_same(whole, trace_recipe(recipe(dtype=dtype, memory=budget)))


def test_streamed_weights_give_what_an_ordinary_transformers_model_gives() -> None:
    """The ordinary model gets all weights at once, through its own load_state_dict."""
    engine = Engine(recipe())
    source = engine.runnable.weights._source
    whole = {
        slot.spec.name: source.read(slot.spec, None, lambda made: None)
        for _, slot in engine.runnable.weights.all_slots()
    }
    ordinary = type(engine.runnable.built.module)(engine.runnable.built.config).eval()
    ordinary.load_state_dict(whole)
    tokens = engine.runnable.tokenizer.encode("the answer")
    with torch.no_grad():
        expected = ordinary(input_ids=torch.tensor([[token.id for token in tokens]]), use_cache=False).logits
    np.testing.assert_array_equal(engine.run(texts("the answer"), Gate())["logits"], expected.numpy())


def test_no_recorded_value_is_nan_or_on_meta() -> None:
    trace = trace_recipe(recipe(memory=0))
    assert all(statistics.finite and statistics.numel for statistics in trace.all_statistics())


def test_after_a_run_only_what_fits_the_budget_stays() -> None:
    for budget, kept in ((0, 0), (2**40, None)):
        engine = Engine(recipe(memory=budget))
        engine.run(texts("hello"), Gate())
        empty = placeholders(engine.runnable.weights)
        embedding = [isinstance(module, nn.Embedding) for module, _ in engine.runnable.weights.all_slots()]
        assert empty == [True] * len(empty) if kept == 0 else empty == embedding
        engine.close()
        assert all(placeholders(engine.runnable.weights))


@pytest.fixture
def _every_block_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.tracer.weights_told.NOTICE_SECONDS", 0.0)


@pytest.mark.usefixtures("_every_block_told")
def test_a_second_prompt_makes_no_resident_weight_again() -> None:
    events: list[Event] = []
    engine = Engine(recipe(memory=2**40), events.append)
    first = engine.run(texts("hello"), Gate())
    made = {event.what for event in events if isinstance(event, Progress)}
    events.clear()
    assert_same(first, engine.run(texts("hello"), Gate()))
    assert {event.what for event in events if isinstance(event, Progress)} == {"model.embed_tokens.weight"}
    assert "model.layers.0.mlp.gate_proj.weight" in made


@pytest.mark.parametrize("at", [0, 5, 17, 40])
def test_a_run_left_at_any_record_can_be_run_again(at: int) -> None:
    engine = Engine(recipe(memory=0))

    class Leaving(Gate):
        def arrived(self, record: Record) -> None:
            if record.index == at:
                self.cancel()
            super().arrived(record)

    with pytest.raises(Cancelled):
        engine.run(texts("hello world"), Leaving())
    assert all(placeholders(engine.runnable.weights))
    assert_same(engine.run(texts("hello world"), Gate()), trace_recipe(recipe(), prompt="hello world"))


@pytest.mark.usefixtures("_every_block_told")
def test_a_run_can_be_left_while_weights_are_made() -> None:
    gate = Gate()

    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.what.endswith("mlp.up_proj.weight"):
            gate.cancel()

    engine = Engine(recipe(memory=2**40), emit)
    with pytest.raises(Cancelled):
        engine.run(texts("hello"), gate)
    for module, slot in engine.runnable.weights.all_slots():
        lying = module._parameters[slot.parameter]
        assert lying is slot.placeholder or not bool(torch.isnan(torch.as_tensor(lying)).any())


def test_layers_left_out_pass_the_residual_stream_on_and_the_others_keep_their_indices() -> None:
    trace = trace_recipe(recipe(layers=Layers(1, 2)))
    assert sorted({record.layer for record in trace.records if record.layer is not None}) == [1]
    np.testing.assert_array_equal(trace["model.layers.1:input"], trace["model.embed_tokens"])
    whole = trace_recipe(recipe())
    first_of_whole = trace_recipe(recipe(layers=Layers(0, 1)))
    np.testing.assert_array_equal(first_of_whole["model.layers.0"], whole["model.layers.0"])


def test_the_dtype_changes_weights_by_rounding_alone() -> None:
    wide, narrow = (Engine(recipe(dtype=dtype)) for dtype in ("float32", "bfloat16"))
    pairs = zip(wide.runnable.weights.all_slots(), narrow.runnable.weights.all_slots(), strict=True)
    for (_, one), (_, other) in pairs:
        read = [
            engine.runnable.weights._source.read(slot.spec, None, lambda made: None)
            for engine, slot in ((wide, one), (narrow, other))
        ]
        assert torch.equal(read[0].bfloat16(), read[1]), one.spec.name


def test_the_same_prompt_and_seed_give_the_same_file_but_for_timings(tmp_path: Path) -> None:
    contents = []
    for name in ("one.npz", "two.npz"):
        write_trace(trace_recipe(recipe(dtype="bfloat16")), tmp_path / name)
        with ZipFile(tmp_path / name) as archive:
            contents.append({m: archive.read(m) for m in archive.namelist() if m != "__timing__.npy"})
    assert contents[0] == contents[1]
    write_trace(trace_recipe(recipe(dtype="bfloat16", seed=1)), tmp_path / "other.npz")
    with np.load(tmp_path / "one.npz") as one, np.load(tmp_path / "other.npz") as other:
        assert not np.array_equal(one["logits"], other["logits"])


def test_the_plan_is_told_before_the_run_and_holds() -> None:
    events: list[Event] = []
    trace = trace_recipe(recipe(), emit=events.append)
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds[1] is Started
    plan = next(event.plan for event in events if isinstance(event, Started))
    recorded = {id(value): value.read().nbytes for value in trace.values}
    assert 0.5 * sum(recorded.values()) < plan.activations < 2 * sum(recorded.values())
    assert plan.peak > plan.weights + plan.activations
    masks = plan.activations - sum(part.recorded for part in plan.parts)
    assert 0 <= masks < plan.attention
    assert [part.path for part in plan.parts] == [*(f"model.layers.{n}" for n in range(len(plan.parts) - 1)), ""]
    assert len(plan.parts) == 1 + recipe().layer_count
    assert 0 < plan.logits + plan.attention < plan.activations


def test_a_tied_head_counts_whole_beside_the_embeddings_rows() -> None:
    own, tied = (
        Engine(recipe(memory=0, config={"tie_word_embeddings": tie})).prepared.plan.parts[-1].weights
        for tie in (False, True)
    )
    assert tied == own


def test_what_cannot_fit_is_refused_with_sizes_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(recipe())
    monkeypatch.setattr("tracetui.models.memory.plan.available_bytes", lambda: 1000)
    with pytest.raises(InputError, match=r"needs .* more memory and 1000 B is available.*--layers"):
        engine.run(texts("hello"), Gate())


def test_the_advice_is_about_what_takes_most() -> None:
    weights, values, cache = 3 * 2**30, 3 * 2**29, 2**40
    little = MemoryPlan(weights=0, kept=0, activations=0, working=0, base=0, available=0)

    def said(**parts: Any) -> str:
        with pytest.raises(InputError) as error:
            check(replace(little, **parts), held=0)
        return str(error.value).rpartition("; ")[2]

    kept = said(weights=weights, kept=weights, activations=values)
    assert kept.endswith("(--memory 1.5G)")
    assert "--memory" not in said(weights=weights, activations=values)
    recorded = said(weights=weights, kept=weights, activations=weights + 1)
    assert "--keep stats" in recorded
    assert "--values 768M" in recorded
    assert "--memory" not in recorded
    assert "--generate" in said(weights=weights, kept=weights, cache=cache)


@pytest.mark.parametrize("layers", [Layers(0, 2), Layers(2, 3)])
def test_layers_left_out_are_told_beside_random_weights(layers: Layers) -> None:
    told = trace_recipe(recipe(layers=layers)).run.notes
    assert RANDOM_REMARK in told
    assert f"{3 - len(layers)} of 3 layers were left out: what the model predicts means nothing" in told
    assert not any("left out" in note for note in trace_recipe(recipe()).run.notes)


@pytest.mark.parametrize(
    ("prompt", "ids", "complaint"),
    [
        ("", None, "prompt: is empty"),
        (None, [4200], r"4200.*4200"),
        ("word " * 100, None, r"the model takes at most 64"),
    ],
)
def test_bad_prompts(prompt: str | None, ids: list[int] | None, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        trace_recipe(recipe(), prompt, ids)


def test_what_the_offered_prompt_would_take_is_known_before_it_runs() -> None:
    engine = Engine(recipe())
    offered = engine.runnable.tokenizer.encode(engine.runnable.recipe.prompt)
    planned, plan = engine.prepared.plan, engine.plan(len(offered))
    assert (planned.weights, planned.activations, planned.working) == (plan.weights, plan.activations, plan.working)


def test_a_traces_configuration_says_which_pairs_turn_where_the_recipe_leaves_it_to_the_class() -> None:
    of = recipe(config={**LATENT, **EXPERTS, "model_type": "deepseek_v3"}, layers=Layers(0, 2))
    trace = trace_recipe(of, ids=range(5, 10))
    record = next(record for record in trace.records if record.role == "q")
    view = attention_at(trace, record)
    assert view is not None
    found = check_rope(view, 0)
    assert isinstance(found, RopeCheck)
    assert found.layout == "pairs"
    assert "config: rope_interleave true, so adjacent pairs" in found.evidence

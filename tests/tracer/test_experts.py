"""Experts seen one by one: what they get, what they make of it, and how their router chose them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.mixture_models import BIASED, FAMILIES, fields, tiny_mixture
from tests.tracer.models import prompt, tiny_llama
from tracetui.analysis.experts.choice import masked_groups
from tracetui.analysis.experts.routing import routing
from tracetui.models.runnable import make_runnable
from tracetui.models.weights.random_source import RandomSource
from tracetui.recipe import Layers, Recipe
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_call
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.run import trace_recipe

CHOSEN = 3
VOCABULARY = 300


def blocks(trace: Trace) -> list[str]:
    """The paths of the blocks around experts."""
    return [record.module for record in trace.records if record.role == "experts"]


def hit(trace: Trace, block: str) -> list[int]:
    """The experts that were hit, in the order in which they ran."""
    sites = (re.fullmatch(rf"{re.escape(block)}\.experts\.(\d+)", record.site) for record in trace.records)
    return [int(found[1]) for found in sites if found]


def watched(family: str, **model: Any) -> Trace:
    return record_call(tiny_mixture(family, **model), input_ids=prompt(rows=2), use_cache=False)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", ["grouped_mm", "eager"])
def test_the_result_is_that_of_the_unwatched_model_bit_for_bit(family: str, dtype: torch.dtype, kernel: str) -> None:
    model = tiny_mixture(family, dtype, kernel)
    inputs: dict[str, Any] = {"input_ids": prompt(rows=2), "use_cache": False}
    with torch.no_grad():
        stock = model(**inputs).logits
        trace = record_call(model, **inputs)
        again = model(**inputs).logits
    if family == "gpt_oss":
        # Its gate reads every other value, where torch's last digit depends on how many rows lie side by side.
        close = 1e-6 if dtype is torch.float32 else 2**-6
        np.testing.assert_allclose(trace["logits"], stock.float().numpy(), atol=close)
    else:
        np.testing.assert_array_equal(trace["logits"], stock.float().numpy())
    assert torch.equal(stock, again)
    assert model.config._experts_implementation == kernel
    assert blocks(trace)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_expert_that_was_chosen_ran_on_the_tokens_that_chose_it(family: str) -> None:
    trace = watched(family)
    for block in blocks(trace):
        chosen = trace[f"{block}:experts"]  # [N,A]
        assert chosen.shape == (18, CHOSEN)
        assert hit(trace, block) == sorted(set(chosen.flatten().tolist()))
        for expert in hit(trace, block):
            tokens = trace[f"{block}.experts.{expert}:tokens"]  # [n]
            np.testing.assert_array_equal(tokens, np.flatnonzero((chosen == expert).any(axis=1)))
            given, made = trace[f"{block}.experts.{expert}:in"], trace[f"{block}.experts.{expert}"]
            assert given.shape == made.shape == (len(tokens), 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weighted_outputs_add_up_to_what_the_experts_returned(family: str) -> None:
    trace = watched(family)
    for block in blocks(trace):
        chosen, weights = trace[f"{block}:experts"], trace[f"{block}:routing_weights"]  # [N,A]
        total = np.zeros((18, 32))
        for expert in hit(trace, block):
            tokens = trace[f"{block}.experts.{expert}:tokens"]  # [n]
            share = np.where(chosen[tokens] == expert, weights[tokens], 0).sum(axis=1)  # [n]
            total[tokens] += share[:, None] * trace[f"{block}.experts.{expert}"]
        np.testing.assert_allclose(total, trace[f"{block}.experts"].reshape(18, 32), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_experts_input_is_what_the_block_was_given(family: str) -> None:
    model = tiny_mixture(family)
    trace = record_call(model, input_ids=prompt(rows=2), use_cache=False)
    for block in blocks(trace):
        given = {
            tuple(row)
            for expert in hit(trace, block)
            for row in trace[f"{block}.experts.{expert}:in"].round(5).tolist()
        }
        assert len(given) == len({tuple(row) for row in given}) <= 18


@pytest.mark.parametrize("family", FAMILIES)
def test_the_choice_is_explained_by_the_recorded_scores(family: str) -> None:
    trace = watched(family)
    for block in blocks(trace):
        logits, scores = trace[f"{block}:router_logits"], trace[f"{block}:router_scores"]  # [N,E]
        selection, chosen = trace[f"{block}:selection_scores"], trace[f"{block}:experts"]
        assert logits.shape == scores.shape == selection.shape == (18, 8)
        best = np.argsort(-selection, axis=1)[:, :CHOSEN]
        np.testing.assert_array_equal(np.sort(best, axis=1), np.sort(chosen, axis=1))
        taken = np.take_along_axis(scores, chosen, axis=1)  # [N,A]
        ratio = trace[f"{block}:routing_weights"] / taken
        np.testing.assert_allclose(ratio, ratio[:, :1].repeat(CHOSEN, axis=1), rtol=1e-4)


def sigmoid(logits: Array) -> Array:
    scores: Array = 1 / (1 + np.exp(-logits))
    return scores


def softmax(logits: Array) -> Array:
    scores: Array = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores


@pytest.mark.parametrize("family", FAMILIES)
def test_the_scores_are_those_of_the_familys_own_formula(family: str) -> None:
    trace = watched(family)
    score = sigmoid if family in ("deepseek_v3", "glm4_moe", "minimax_m2") else softmax
    for block in blocks(trace):
        expected = score(trace[f"{block}:router_logits"])
        np.testing.assert_allclose(trace[f"{block}:router_scores"], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_selection_bias_is_there_where_the_router_has_one(family: str) -> None:
    trace = watched(family)
    for block in blocks(trace):
        has_bias = f"{block}:selection_bias" in trace
        assert has_bias == (family in BIASED)
        if has_bias:
            selection, scores = trace[f"{block}:selection_scores"], trace[f"{block}:router_scores"]  # [N,E]
            added = scores + trace[f"{block}:selection_bias"]
            np.testing.assert_allclose(selection[np.isfinite(selection)], added[np.isfinite(selection)], rtol=1e-5)


@pytest.mark.parametrize(("family", "groups", "used"), [("deepseek_v2", 4, 2), ("deepseek_v3", 4, 2)])
def test_groups_that_may_not_be_used_are_masked(family: str, groups: int, used: int) -> None:
    trace = watched(family)
    for block in blocks(trace):
        masked = np.isneginf(trace[f"{block}:selection_scores"]).reshape(18, groups, -1)  # [N,G,E/G]
        assert (masked.all(axis=2) == masked.any(axis=2)).all()
        assert (masked.all(axis=2).sum(axis=1) == groups - used).all()


def test_experts_stand_as_children_of_their_module() -> None:
    trace = watched("mixtral")
    block = blocks(trace)[0]
    keys = [record.key for record in trace.records]
    holder = trace.find(f"{block}.experts")
    assert holder is not None
    for expert in hit(trace, block):
        site = f"{block}.experts.{expert}"
        made, given = trace.find(site), trace.find(f"{site}:in")
        assert made is not None
        assert given is not None
        assert made.depth == holder.depth + 1
        assert (given.depth, given.parent) == (made.depth + 1, site)
        assert keys.index(f"{site}:tokens") < given.index < made.index < holder.index
        assert made.seconds is not None
    assert not [key for key in keys if "act_fn" in key]


def test_a_model_without_experts_has_no_routing() -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    assert not blocks(trace)


def wide(family: str) -> dict[str, Any]:
    """The configuration with a vocabulary that the tokenizer at hand fits."""
    return {**fields(family), "vocab_size": VOCABULARY}


def recipe(family: str, memory: int) -> Recipe:
    return Recipe("tiny", "Tiny", "tiny.toml", wide(family), Layers(0, 2), dtype="float32", memory=memory)


@pytest.mark.parametrize("family", FAMILIES)
def test_experts_made_one_by_one_give_what_the_whole_model_gives(family: str) -> None:
    ids = prompt()[0].tolist()
    streamed = trace_recipe(recipe(family, 0), ids=ids)
    runnable = make_runnable(recipe(family, 2**40))
    model = runnable.built.module
    source = RandomSource(0, 0.02)
    for module, slot in runnable.weights.all_slots():
        slot.fill(module, source.read(slot.spec, None, lambda made: None))
    # The kernel that runs expert by expert, without anybody watching.
    model.config._experts_implementation = "tracetui_grouped_mm"
    with torch.no_grad():
        whole = model(input_ids=torch.tensor([ids]), use_cache=False).logits
    np.testing.assert_array_equal(streamed["logits"], whole.numpy())
    assert not [record.key for record in streamed.records if np.isnan(streamed[record.key]).any()]


def test_groups_that_the_configuration_leaves_to_the_family_are_told() -> None:
    counts = dict.fromkeys(("n_routed_experts", "num_local_experts", "num_experts"), 16)
    said = {name: value for name, value in wide("deepseek_v3").items() if name not in ("n_group", "topk_group")}
    of = replace(recipe("deepseek_v3", 0), config={**said, **counts})
    found = routing(trace_recipe(of, ids=range(5, 14)), 1)
    assert (found.groups, found.groups_kept) == (8, 4)
    assert found.selection is not None
    assert (masked_groups(found.selection, found.groups).sum(axis=1) == 4).all()


def test_only_experts_that_are_hit_are_made_and_what_fits_stays() -> None:
    made = {**wide("mixtral"), "num_local_experts": 32}
    runnable = make_runnable(Recipe("tiny", "Tiny", "tiny.toml", made, Layers(0, 2), dtype="float32", memory=2**40))
    names: list[str] = []

    def making(name: str, done: int, total: int) -> None:
        names.extend([name] if done == 0 else [])

    def run(tokens: int) -> int:
        names.clear()
        recorder = Recorder(RunInfo(), (), lambda record: None)
        model = runnable.built.module
        watched = Pass(recorder, Editor(recorder), weights=runnable.weights, making=making)
        with torch.no_grad(), ModelHooks(model, watched):
            model(input_ids=prompt(tokens=tokens), use_cache=False)
        return sum(len(hit(recorder.trace, block)) for block in blocks(recorder.trace))

    first = run(2)
    assert 0 < first <= 2 * 2 * CHOSEN
    assert sum("experts" in name for name in names) == 2 * first
    assert run(2) == first
    assert not names or all("embed" in name for name in names)


def test_a_plan_counts_one_expert_not_all() -> None:
    runnable = make_runnable(recipe("mixtral", 0))
    holder = runnable.built.module.get_submodule("model.layers.0.mlp.experts")
    one = sum(parameter.numel() // 8 * 4 for parameter in holder.parameters())
    lm_head = VOCABULARY * 32 * 4
    assert runnable.weights.largest_passing_bytes == max(one, lm_head)
    assert runnable.weights.kept_experts_bytes(100) == 0
    assert make_runnable(recipe("mixtral", 2**40)).weights.kept_experts_bytes(3) == 2 * 3 * one

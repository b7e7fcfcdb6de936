"""A model that goes on from its prompt: the tokens of transformers' own generate, and passes like a full rerun."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.recipes import recipe
from tests.tracer.test_families import FAMILIES, IDS, config_of, ordinary
from tracetui.analysis.attention.cache import latent_cache
from tracetui.analysis.attention.scores import attention_at
from tracetui.analysis.prediction import last_position, next_tokens
from tracetui.debugger.session import Extended, Started
from tracetui.errors import Cancelled, InputError
from tracetui.models.memory import plan as memory
from tracetui.recipe import Generation, Layers, Prompts, Recipe, load_recipe, texts
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe

GREEDY = Generation(4, stop=())
ROUNDING = 2e-6
PROMPT = (5, 8, 299, 3, 9)


def generated(trace: Trace, row: int = 0) -> list[int]:
    return [token.id for token in trace.tokens[row][trace.prompt_lengths[row] :]]


def of_family(family: str, folder: Path, **fields: Any) -> Recipe:
    path = config_file(family, folder)
    return replace(load_recipe(str(path)), **{"dtype": "float32", "memory": 0, "generation": GREEDY, **fields})


def config_file(family: str, folder: Path) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config_of(family)))
    return path


@pytest.mark.parametrize(
    "family",
    ["llama", "mistral", "gemma3_text", "gpt2", "bloom", "mamba", "mixtral", "gpt_oss", "deepseek_v3", "llama4_text"],
)
def test_the_tokens_are_those_of_generate_and_each_pass_is_like_a_rerun_of_all(family: str, tmp_path: Path) -> None:
    trace = trace_recipe(of_family(family, tmp_path), ids=IDS)
    model = ordinary(config_file(family, tmp_path), "float32")
    ids = torch.tensor([IDS])
    with torch.no_grad():
        theirs = model.generate(ids, max_new_tokens=4, do_sample=False, eos_token_id=None, pad_token_id=0)
        ours = torch.tensor([[token.id for token in trace.tokens[0][:-1]]])
        again = model(input_ids=ours, use_cache=False).logits  # [1,T,V]
    assert [token.id for token in trace.tokens[0]] == theirs[0].tolist()
    passes = np.concatenate([trace["logits"], *(trace[f"logits@{number}"] for number in (1, 2, 3))], axis=1)
    np.testing.assert_allclose(passes, again.numpy(), rtol=0, atol=ROUNDING)
    assert len(FAMILIES) > 20
    assert [len(part) for part in (trace.generated, trace.cache)] == [1, 4]


def test_passes_have_keys_of_their_own_and_attention_grows_by_a_row() -> None:
    trace = trace_recipe(recipe(generation=GREEDY, prompts=Prompts(ids=(PROMPT,))))
    assert len({record.key for record in trace.records}) == len(trace)
    assert [record.index for record in trace.records] == list(range(len(trace)))
    site = "model.layers.1.self_attn"
    for number in (1, 2, 3):
        record = trace.find(f"{site}:q@{number}")
        assert record is not None
        view = attention_at(trace, record)
        assert view is not None
        probs = view.matrix("probs", 1)  # [1,S]
        assert probs.shape == (1, len(PROMPT) + number)
        np.testing.assert_allclose(probs.sum(), 1, rtol=1e-6)
        heads = trace[f"{site}:heads@{number}"][0, 1]  # [1,Kv]
        np.testing.assert_allclose(probs @ trace[f"{site}:v@{number}"][0, 0], heads, atol=1e-6)
        assert trace.positions(number) == range(len(PROMPT) + number - 1, len(PROMPT) + number)
    first, second = trace[f"{site}:k@1"], trace[f"{site}:k@2"]
    np.testing.assert_array_equal(first, second[:, :, :-1])


def test_what_a_pass_predicts_is_what_was_chosen() -> None:
    trace = trace_recipe(recipe(generation=GREEDY, prompts=Prompts(ids=(PROMPT, PROMPT[::-1]))))
    for row in (0, 1):
        for number, token_id in enumerate(generated(trace, row)):
            place = last_position(trace, row, number)
            assert next_tokens(trace, 3, row, place)[0].token.id == token_id
        assert next_tokens(trace, 1, row)[0].token.id == generated(trace, row)[-1]
    with pytest.raises(IndexError, match="logits of 8 of 8 positions, not of 8"):
        next_tokens(trace, 1, 0, 8)


def test_streamed_weights_give_what_resident_ones_do() -> None:
    one, other = (trace_recipe(recipe(generation=GREEDY, memory=room)) for room in (0, 2**30))
    assert one.tokens == other.tokens
    assert [record.key for record in one.records] == [record.key for record in other.records]
    for record in one.records:
        np.testing.assert_array_equal(one[record.key], other[record.key])


def test_weights_stay_between_passes_unless_somebody_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[int] = []
    real = memory.weight_budget

    def noted(of: Recipe, device: torch.device) -> int:
        budgets.append(real(of, device))
        return budgets[-1]

    monkeypatch.setattr("tracetui.models.memory.plan.weight_budget", noted)
    for count in (0, 1, 2):
        trace_recipe(recipe(generation=Generation(count)))
    assert budgets[:2] == [0, 0]
    assert budgets[2] > 2**20


def test_draws_repeat_with_their_seed_and_follow_the_probabilities() -> None:
    def drawn(**fields: Any) -> list[int]:
        wanted = Generation(count=12, stop=(), **fields)
        return generated(trace_recipe(recipe(generation=wanted, prompts=Prompts(ids=(PROMPT,)))))

    assert drawn(seed=1) == drawn(seed=1) != drawn(seed=2)
    assert drawn(temperature=3.0) == drawn(temperature=3.0, seed=0)
    greedy = drawn()
    assert drawn(top_k=1) == drawn(top_p=1e-9) == drawn(temperature=1e-4) == greedy
    assert drawn(seed=1) != greedy


def test_a_row_ends_with_its_stop_token_and_the_others_go_on() -> None:
    prompts = Prompts(ids=(PROMPT, PROMPT[::-1]))
    free = trace_recipe(recipe(generation=GREEDY, prompts=prompts))
    stop = generated(free, 0)[1]
    assert stop not in generated(free, 1)
    stopped = trace_recipe(recipe(generation=replace(GREEDY, stop=(stop,)), prompts=prompts))
    assert stopped.generated == (2, 4)
    assert generated(stopped, 0) == generated(free, 0)[:2]
    assert generated(stopped, 1) == generated(free, 1)
    by_config = recipe(generation=Generation(4), prompts=Prompts(ids=(PROMPT,)), config={"eos_token_id": [stop, 7]})
    alone = trace_recipe(by_config)
    assert alone.generated == (2,)
    assert max(record.pass_ for record in alone.records) == 1


def test_layers_that_start_in_the_middle_know_their_positions() -> None:
    part = recipe(generation=GREEDY, prompts=Prompts(ids=(PROMPT,)), layers=Layers(1, 3))
    trace = trace_recipe(part)
    again = trace_recipe(replace(part, generation=Generation(), prompts=Prompts(ids=(tuple(ids(trace)[:-1]),))))
    passes = np.concatenate([trace["logits"], *(trace[f"logits@{number}"] for number in (1, 2, 3))], axis=1)
    np.testing.assert_allclose(passes, again["logits"], rtol=0, atol=ROUNDING)
    layers, groups, size = 2, 2, 8
    assert trace.cache[-1] == layers * 2 * groups * size * 4 * (len(PROMPT) + 3)


def ids(trace: Trace) -> list[int]:
    return [token.id for token in trace.tokens[0]]


@pytest.mark.parametrize("way", ["naive", "absorb"])
def test_latent_attention_goes_on_both_ways(way: str, tmp_path: Path) -> None:
    trace = trace_recipe(of_family("deepseek_v3", tmp_path, mla=way), ids=IDS)
    whole = trace_recipe(of_family("deepseek_v3", tmp_path, mla=way, generation=Generation()), ids=ids(trace)[:-1])
    np.testing.assert_allclose(trace["logits@3"][0, 0], whole["logits"][0, -1], rtol=0, atol=ROUNDING)
    site = "model.layers.1.self_attn:kv_latent"
    np.testing.assert_allclose(trace[f"{site}@3"], whole[site], rtol=0, atol=ROUNDING)
    ways = latent_cache(trace, 3)
    assert ways is not None
    positions, layers = len(IDS) + 3, 2
    assert ways.absorbed == layers * positions * (8 + 4) * 4
    assert ways.naive == layers * positions * 4 * (8 + 4 + 8) * 4


def test_rows_of_different_length_and_too_many_positions_are_refused() -> None:
    with pytest.raises(InputError, match=r"generate: the prompts have 1 to 5 tokens; a shorter row's padding"):
        trace_recipe(recipe(generation=GREEDY, prompts=Prompts(ids=(PROMPT, (1,)))))
    with pytest.raises(InputError, match="generate: would need 104 positions, and the model has 64"):
        trace_recipe(recipe(generation=Generation(100), prompts=Prompts(ids=(PROMPT,))))


def test_a_run_left_in_its_third_pass_keeps_a_trace_that_holds(tmp_path: Path) -> None:
    traces: list[Trace] = []

    def told(event: object) -> None:
        if isinstance(event, Started | Extended):
            traces.append(event.trace)

    def arrived(record: Record) -> bool:
        if record.key == "model.layers.1.mlp@2":
            gate.cancel()
        return False

    gate = Gate(arrived)
    engine = Engine(recipe(generation=GREEDY, prompts=Prompts(ids=(PROMPT,))), told, goes_on=True)
    with pytest.raises(Cancelled):
        engine.run(engine.runnable.recipe.prompts, gate)
    left = traces[-1].closed()
    assert not left.complete
    assert [left.generated, len(left.cache)] == [(2,), 2]
    whole = trace_recipe(recipe(generation=GREEDY, prompts=Prompts(ids=(PROMPT,))))
    assert [record.key for record in left.records] == [record.key for record in whole.records[: len(left)]]
    np.testing.assert_array_equal(left["model.layers.1.mlp@1"], whole["model.layers.1.mlp@1"])
    write_trace(left, tmp_path / "left.npz")
    assert read_trace(tmp_path / "left.npz").tokens == left.tokens
    with pytest.raises(InputError, match="there is no run to go on with"):
        engine.generate(1, Gate())
    engine.close()


def test_an_ended_run_goes_on_as_if_it_had_never_ended() -> None:
    of = recipe(prompts=Prompts(ids=(PROMPT,)))
    engine = Engine(replace(of, generation=replace(GREEDY, count=0)), goes_on=True)
    prompt = engine.run(of.prompts, Gate())
    engine.generate(1, Gate())
    longer = engine.generate(3, Gate())
    whole = trace_recipe(replace(of, generation=GREEDY))
    assert [len(prompt), prompt.generated] == [len(trace_recipe(of)), ()]
    assert [longer.tokens, longer.cache, longer.complete] == [whole.tokens, whole.cache, True]
    assert [record.key for record in longer.records] == [record.key for record in whole.records]
    for record in whole.records:
        np.testing.assert_array_equal(longer[record.key], whole[record.key])
    engine.close()


def test_the_plan_counts_the_passes_and_the_cache() -> None:
    plans: list[Any] = []
    for generation in (Generation(), replace(GREEDY, count=10)):
        trace = trace_recipe(recipe(generation=generation), emit=plans.append)
    alone, longer = (event.plan for event in plans if isinstance(event, Started))
    assert [alone.cache, longer.cache] == [0, trace.cache[-1]]
    recorded = sum(int(np.prod(value.shape)) * 4 for value in {id(value): value for value in trace.values}.values())
    assert 0.8 < longer.activations / recorded < 1.5
    assert longer.peak > alone.peak


def test_a_file_with_passes_is_the_trace_again(tmp_path: Path) -> None:
    trace = trace_recipe(recipe(generation=GREEDY, prompts=texts("the answer")))
    write_trace(trace, tmp_path / "t.npz")
    again = read_trace(tmp_path / "t.npz")
    assert [again.tokens, again.generated, again.cache] == [trace.tokens, trace.generated, trace.cache]
    assert [record.key for record in again.records] == [record.key for record in trace.records]
    assert dict(again.attention) == dict(trace.attention)
    with np.load(tmp_path / "t.npz") as plain:
        np.testing.assert_array_equal(plain["model.layers.2@3"], trace["model.layers.2@3"])
        assert "model.layers.0.self_attn:q@1" in plain
    for record in trace.records:
        np.testing.assert_array_equal(again[record.key], trace[record.key])


@pytest.mark.parametrize(("dtype", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_passes_in_a_narrow_dtype_differ_from_a_rerun_by_its_rounding_alone(dtype: str, bits: int) -> None:
    trace = trace_recipe(recipe(dtype=dtype, generation=GREEDY, prompts=Prompts(ids=(PROMPT,))))
    whole = trace_recipe(recipe(dtype=dtype, prompts=Prompts(ids=(tuple(ids(trace)[:-1]),))))["logits"]
    passes = np.concatenate([trace["logits"], *(trace[f"logits@{number}"] for number in (1, 2, 3))], axis=1)
    np.testing.assert_allclose(passes, whole, rtol=0, atol=4 * 2.0**-bits * float(np.abs(whole).max()))

"""Edits on the model's thread: what a straight computation gives, both values recorded, and nothing left behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.latent_models import fields as latent_fields
from tests.tracer.recipes import recipe
from tests.tracer.test_engine import assert_same, placeholders
from tests.tracer.test_families import IDS, config_of, ordinary, with_same_kernels
from tests.tracer.test_live import PROMPT, driven
from tracetui.analysis.attention.heads import head_identity
from tracetui.analysis.attention.scores import attention_at
from tracetui.debugger.session import Event, Finished, Stopped, Tallied, until_end, until_first
from tracetui.expr.edit import EditTally
from tracetui.expr.edit_log import EditLog
from tracetui.expr.edit_parse import parse_edits
from tracetui.recipe import Generation, Layers, Prompts, Recipe, load_recipe, texts
from tracetui.recipe.recorded.again import recipe_again
from tracetui.recipe.recorded.edits import edits_of
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.tracer.edited_values import CantEditError, changed_by
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe

HEADS = ["llama", "qwen3", "phi3", "mixtral", "deepseek_v3", "cohere"]
MIXTURES = ["mixtral", "qwen2_moe", "deepseek_v3", "gpt_oss", "olmoe", "glm4_moe"]


def edited(*edits: str, **fields: Any) -> Trace:
    return trace_recipe(recipe(edits=parse_edits(edits, ""), **fields))


def config_file(family: str, folder: Path) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config_of(family)))
    return path


def of_family(path: Path, *edits: str) -> Trace:
    found = replace(load_recipe(str(path)), dtype="float32", edits=parse_edits(edits, ""))
    return trace_recipe(found, ids=IDS)


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=torch.tensor([IDS]), use_cache=False).logits.float().numpy()


@pytest.mark.parametrize("family", HEADS)
def test_a_head_set_to_zero_is_o_proj_without_its_columns(family: str, tmp_path: Path) -> None:
    path = config_file(family, tmp_path)
    trace = of_family(path, "layers.1.self_attn head 2: zero")
    model = with_same_kernels(ordinary(path, "float32"))
    whole = logits(model)
    projection = model.model.layers[1].self_attn.o_proj.weight  # [D,H·Kv]
    width = projection.shape[1] // model.config.num_attention_heads
    with torch.no_grad():
        projection[:, 2 * width : 3 * width] = 0
    np.testing.assert_allclose(trace["logits"], logits(model), rtol=0, atol=1e-6)
    assert np.abs(trace["logits"] - whole).max() > 1e-5


@pytest.mark.parametrize("family", MIXTURES)
def test_a_forced_choice_is_what_a_router_forced_so_gives(family: str, tmp_path: Path) -> None:
    path = config_file(family, tmp_path)
    plain = of_family(path)
    block = "model.layers.1.mlp" if "model.layers.1.mlp:experts" in plain else "model.layers.1.block_sparse_moe"
    trace = of_family(path, f"{block.removeprefix('model.')} token 5: experts 1,3")
    experts, before = trace[f"{block}:experts"], trace[f"{block}:experts:before_edit"]
    np.testing.assert_array_equal(before, plain[f"{block}:experts"])
    np.testing.assert_array_equal(experts[5], [1, 3])
    np.testing.assert_array_equal(np.delete(experts, 5, 0), np.delete(before, 5, 0))
    weights, scores = trace[f"{block}:routing_weights"], trace[f"{block}:router_scores"]
    own = trace[f"{block}:routing_weights:before_edit"]
    # The weights are in the proportion of the scores, with the sum or the factor of the router's own.
    np.testing.assert_allclose(weights[5, 0] / weights[5, 1], scores[5, 1] / scores[5, 3], rtol=1e-4)
    factors = own / np.take_along_axis(scores, before, 1)
    sums = own.sum(axis=1)
    assert np.isclose(weights[5].sum(), sums[0], rtol=1e-4) or np.isclose(weights[5, 0] / scores[5, 1], factors[0, 0])
    counted = sum(5 in trace[f"{block}.experts.{expert}:tokens"] for expert in (1, 3))
    assert counted == 2


@pytest.mark.parametrize("family", ["llama", "mixtral", "gemma2", "qwen3", "olmo2", "stablelm"])
def test_skipping_a_layer_is_a_model_that_passes_it_by(family: str, tmp_path: Path) -> None:
    path = config_file(family, tmp_path)
    without = replace(load_recipe(str(path)), dtype="float32", layers=Layers(0, 1))
    np.testing.assert_array_equal(of_family(path, "layers.1: skip")["logits"], trace_recipe(without, ids=IDS)["logits"])


def test_both_values_are_recorded_and_the_run_says_so() -> None:
    trace, plain = edited("layers.1.mlp: scale 3"), edited()
    site = "model.layers.1.mlp"
    before, after = trace.find(f"{site}:before_edit"), trace.find(site)
    assert before is not None
    assert after is not None
    assert (before.edited, after.edited, after.index - before.index) == (False, True, 1)
    assert [record.edited for record in trace.records].count(True) == 1
    np.testing.assert_array_equal(trace[f"{site}:before_edit"], plain[site])
    np.testing.assert_array_equal(trace[site], plain[site] * 3)
    stream = trace["model.layers.1:attn_residual"] + trace[site]
    np.testing.assert_allclose(trace["model.layers.1"], stream, rtol=1e-6)
    assert trace.run.recipe["edits"] == ["layers.1.mlp: scale 3"]
    assert "edited: layers.1.mlp: scale 3" in trace.run.notes
    assert "edits" not in plain.run.recipe


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("zero", lambda part: part * 0),
        ("scale -2", lambda part: part * -2),
        ("set 0.25", lambda part: part * 0 + 0.25),
        ("clamp -0.01 inf", lambda part: part.clip(-0.01)),
    ],
)
def test_an_action_changes_the_part_that_is_named_and_no_other(action: str, expected: Any) -> None:
    trace = edited(f"layers.1.self_attn:v[:,1,2:5]: {action}")
    before = trace["model.layers.1.self_attn:v:before_edit"]
    after = trace["model.layers.1.self_attn:v"]
    before[:, 1, 2:5] = expected(before[:, 1, 2:5])
    np.testing.assert_array_equal(after, before)


def test_noise_has_its_size_and_depends_on_seed_and_key_alone() -> None:
    one, again, other = (edited(f"*.up_proj: noise 0.5 seed {seed}") for seed in (3, 3, 4))
    assert_same(one, again)
    key = "model.layers.0.mlp.up_proj"
    noise = [trace[key] - trace[f"{key}:before_edit"] for trace in (one, other)]
    assert 0.45 < noise[0].std() < 0.55
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.2


def test_edits_apply_in_their_order_to_what_the_ones_before_left() -> None:
    trace = edited("layers.0: set 2", "layers.0[0,1]: scale 3")
    assert np.unique(trace["model.layers.0"]).tolist() == [2.0, 6.0]


def test_an_edit_leaves_nothing_behind() -> None:
    edits = parse_edits(["*: noise 1", "layers.1.self_attn head 1: zero", "layers.2: skip"], "")
    engine = Engine(recipe(memory=2**40))
    first = engine.run(texts("hello"), Gate())
    changed = engine.run(texts("hello"), Gate(edits=EditLog(edits)))
    assert_same(first, engine.run(texts("hello"), Gate()))
    assert np.abs(changed["logits"] - first["logits"]).max() > 0.1
    engine.close()
    assert all(placeholders(engine.runnable.weights))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_streamed_weights_give_what_resident_ones_give_under_edits(dtype: str) -> None:
    edits = ("*.k_proj: noise 0.1", "layers.1.self_attn head 1: zero", "embed_tokens: scale 2")
    assert_same(edited(*edits, dtype=dtype, memory=2**40), edited(*edits, dtype=dtype, memory=0))


def test_a_recorded_run_is_replayed_to_the_same_bytes(tmp_path: Path) -> None:
    edits = ("*.mlp: noise 0.1 seed 5", "layers.1.self_attn:q head 1: scale 2", "layers.2 pass 1: skip")
    fields: dict[str, Any] = {"generation": Generation(3, stop=()), "prompts": Prompts(ids=((5, 8, 299, 3),))}
    write_trace(edited(*edits, **fields), tmp_path / "a.npz")
    read = read_trace(tmp_path / "a.npz")
    again = trace_recipe(recipe(edits=edits_of(read, "a"), **fields))
    write_trace(again, tmp_path / "b.npz")
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as other:
        assert one.files == other.files
        for name in one.files:
            if name != "__timing__":
                assert one[name].tobytes() == other[name].tobytes()
    assert [record.edited for record in read.records] == [record.edited for record in again.records]
    assert recipe_again(read, "a").edits == parse_edits(edits, "")


def test_with_generation_an_edit_holds_in_every_pass_unless_it_names_one() -> None:
    fields: dict[str, Any] = {"generation": Generation(3, stop=()), "prompts": Prompts(ids=((5, 8, 299, 3),))}
    trace = edited("layers.0.mlp: zero", "layers.1.mlp pass 1: zero", "layers.1.self_attn:k: scale 2", **fields)
    passes = ["", "@1", "@2"]
    assert [trace[f"model.layers.0.mlp{at}"].any() for at in passes] == [False, False, False]
    assert [trace[f"model.layers.1.mlp{at}"].any() for at in passes] == [True, False, True]
    # The cache holds the model's own keys: what a later pass is given was doubled once.
    given = [trace[f"model.layers.1.self_attn:k{at}"] for at in passes]
    np.testing.assert_array_equal(given[2][:, :, :4], given[0])


def tallies(of: Recipe) -> list[EditTally]:
    found: list[EditTally] = []

    def hear(event: Event) -> None:
        if isinstance(event, Tallied):
            found.extend(event.edits)

    trace_recipe(of, emit=hear)
    return found


def test_edits_that_change_nothing_are_told_with_the_reason() -> None:
    edits = [
        "layers.7.mlp: zero",
        "layers.1.self_attn head 9: zero",
        "layers.1.mlp[5,0]: zero",
        "layers.1.mlp.up_proj: skip",
        "layers.1.mlp: zero",
    ]
    found = tallies(recipe(edits=parse_edits(edits, "")))
    assert [tally.applied for tally in found] == [0, 0, 0, 0, 1]
    assert found[0].untold == ""
    assert "there are heads 0–3" in found[1].untold
    assert "has no such place" in found[2].untold
    assert "came in" in found[3].untold


def test_an_experts_output_is_edited_before_its_weight(tmp_path: Path) -> None:
    path = config_file("mixtral", tmp_path)
    plain = of_family(path)
    block = "model.layers.0.mlp" if "model.layers.0.mlp:experts" in plain else "model.layers.0.block_sparse_moe"
    trace = of_family(path, f"{block.removeprefix('model.')} expert 1: zero")
    assert not trace[f"{block}.experts.1"].any()
    assert trace[f"{block}.experts.1:before_edit"].any()
    expected = np.zeros_like(trace[block]).reshape(len(IDS), -1)
    experts, weights = trace[f"{block}:experts"], trace[f"{block}:routing_weights"]
    for expert in set(experts.ravel().tolist()) - {1}:
        for place, token in enumerate(trace[f"{block}.experts.{expert}:tokens"]):
            weight = weights[token][experts[token] == expert]
            expected[token] += weight * trace[f"{block}.experts.{expert}"][place]
    np.testing.assert_allclose(trace[block].reshape(len(IDS), -1), expected, atol=1e-6)


def test_keys_of_absorbed_attention_cant_be_edited_but_its_query_can() -> None:
    config = {**latent_fields("deepseek_v3"), "vocab_size": 4200}
    made = Recipe(
        "tiny", "tiny", "tiny.toml", config, Layers(0, 2), "float32", mla="absorb", prompts=texts("the answer")
    )
    keys = "layers.0.self_attn:k: zero"
    found = tallies(replace(made, edits=parse_edits([keys, "layers.0.self_attn:q: zero"], "")))
    assert [tally.applied for tally in found] == [0, 1]
    assert "absorb" in found[0].untold
    zeroed = trace_recipe(replace(made, edits=parse_edits(["layers.0.self_attn:q: zero"], "")))
    # Without a query every token in sight counts the same.
    heads = zeroed["model.layers.0.self_attn:heads"]
    value = zeroed["model.layers.0.self_attn:v"]
    np.testing.assert_allclose(heads[0, :, -1], value[0].mean(axis=1), atol=1e-6)


def stepped(changes: list[tuple[str, tuple[str, ...]]]) -> Trace:
    """A live run in which, at each site, other edits are given from the record on at which the model waits."""
    with driven() as driver:
        driver.session.start(texts(PROMPT), until_site(changes[0][0]))
        for at, (site, edits) in enumerate(changes):
            if at:
                driver.session.advance(until_site(site))
            frontier = driver.wait(Stopped).frontier
            driver.session.edit(parse_edits(edits, ""), frontier - 1)
        driver.session.advance(until_end)
        return driver.wait(Finished).trace


def until_site(site: str) -> Callable[[Record], bool]:
    return lambda record: record.site == site


MLP = "model.layers.1.mlp"


@pytest.mark.parametrize(
    "changes",
    [
        [(MLP, ("layers.1.mlp: scale 3",))],
        [(MLP, ("layers.*.mlp: zero",)), ("model.layers.2.self_attn", ())],
        [("model.layers.0.self_attn:heads", ("layers.0.self_attn head 1: zero",)), (MLP, ("*.up_proj: noise 1",))],
        [("model.embed_tokens", ("embed_tokens: scale 2",)), (MLP, ("embed_tokens: scale 2", "layers.2: skip"))],
        [("model.layers.0.mlp.up_proj", ("layers.2.mlp: set 1", "layers.0.mlp: clamp -1 0"))],
        [(MLP, ("layers.*.self_attn:probs head 0: zero",))],
        [("model.embed_tokens", ("layers.*.self_attn:probs head 0: zero",)), ("model.layers.1", ())],
    ],
)
def test_edits_given_while_the_model_waits_are_replayed_to_the_same_bytes(
    changes: list[tuple[str, tuple[str, ...]]], tmp_path: Path
) -> None:
    live = stepped(changes)
    again = trace_recipe(recipe(edits=edits_of(live, "live")), PROMPT)
    assert_same(live, again)
    assert [replace(record, seconds=None) for record in live.records] == [
        replace(record, seconds=None) for record in again.records
    ]
    assert any(record.edited for record in live.records)
    assert live.run.recipe == again.run.recipe
    write_trace(live, tmp_path / "live.npz")
    assert edits_of(read_trace(tmp_path / "live.npz"), "") == edits_of(live, "")


def test_an_edit_given_while_the_model_runs_holds_from_the_record_on_that_the_run_says() -> None:
    """Who gives it has heard of one record; by then there are eleven."""
    reached, given = threading.Event(), threading.Event()

    def until(record: Record) -> bool:
        if record.index == 10:
            reached.set()
            assert given.wait(30)
        return False

    with driven() as driver:
        driver.session.start(texts(PROMPT), until)
        assert reached.wait(30)
        driver.session.edit(parse_edits(["*: scale 1.5"], ""), 1)
        given.set()
        live = driver.wait(Finished).trace
    assert live.run.recipe["edits"] == ["* from 11: scale 1.5"]
    assert min(record.index for record in live.records if record.edited) == 12
    assert_same(live, trace_recipe(recipe(edits=edits_of(live, "live")), PROMPT))


def test_an_edit_that_was_given_at_a_record_where_the_run_was_left_is_none_of_its_own() -> None:
    with driven() as driver:
        driver.session.start(texts(PROMPT), until_site(MLP))
        frontier = driver.wait(Stopped).frontier
        driver.session.edit(parse_edits(["layers.1.mlp: scale 3"], ""), frontier - 1)
        driver.session.cancel()
        left = driver.wait(Finished).trace
    assert (left.records[-1].site, left.run.recipe.get("edits")) == (MLP, None)


def test_an_edit_changes_neither_a_trace_that_is_finished_nor_one_that_is_being_written(tmp_path: Path) -> None:
    with driven() as driver:
        driver.session.start(Prompts(ids=((5, 8, 299, 3),)), until_site(MLP))
        driver.wait(Stopped)
        assert driver.trace is not None
        growing = driver.trace

        def edit_and_go_on(written: int, size: int) -> None:
            if len(growing.records) == waiting:
                driver.session.edit(parse_edits(["*.mlp: zero"], ""), waiting - 1)
                driver.session.advance(until_first)
                driver.wait(Stopped)

        waiting = len(growing.records)
        write_trace(growing, tmp_path / "t.npz", edit_and_go_on)
        assert read_trace(tmp_path / "t.npz").run.recipe.get("edits") is None
        driver.session.advance(until_end)
        finished = driver.wait(Finished).trace
        kept = [f"*.mlp from {waiting - 1}: zero"]
        assert finished.run.recipe["edits"] == kept
        driver.session.edit((), len(finished))
        driver.session.generate(2, until_end)
        longer = driver.wait(Finished).trace
    assert finished.run.recipe["edits"] == kept
    assert longer.run.recipe["edits"] == [f"*.mlp from {waiting - 1} until {len(finished)}: zero"]


def test_no_pattern_edits_what_the_model_does_not_go_on_with() -> None:
    config = {**latent_fields("deepseek_v3"), "vocab_size": 4200}
    made = Recipe("tiny", "tiny", "tiny.toml", config, Layers(0, 2), "float32", prompts=texts("the answer"))
    trace = trace_recipe(replace(made, edits=parse_edits(["*: scale 1.5"], "")))
    edited_roles = {record.role for record in trace.records if record.edited}
    assert {"kv_latent", "k_rope"} <= {record.role for record in trace.records}
    assert edited_roles == {"", "q", "k", "v", "heads", "routing_weights"}


def test_the_record_at_which_the_model_waits_is_changed_and_shown() -> None:
    with driven() as driver:
        driver.session.start(texts(PROMPT), until_site(MLP))
        frontier = driver.wait(Stopped).frontier
        trace = driver.trace
        assert trace is not None
        before = trace[MLP]
        driver.session.edit(parse_edits(["layers.1.mlp: scale 3"], ""), frontier - 1)
        driver.session.advance(until_first)
        assert driver.wait(Stopped).frontier == frontier + 1
        assert [record.site for record in trace.records[-2:]] == [f"{MLP}:before_edit", MLP]
        np.testing.assert_array_equal(trace[MLP], before * 3)
        np.testing.assert_array_equal(trace[f"{MLP}:before_edit"], before)
        driver.session.advance(until_end)
        ended = driver.wait(Finished).trace
        driver.session.start(texts(PROMPT), until_end)
        kept = driver.wait(Finished).trace
    assert ended.run.recipe["edits"] == [f"layers.1.mlp from {frontier - 1}: scale 3"]
    assert kept.run.recipe["edits"] == ["layers.1.mlp: scale 3"]
    np.testing.assert_array_equal(kept["logits"], ended["logits"])


def test_an_edited_head_is_checked_by_what_the_kernel_made_and_edited_values_by_what_it_was_given() -> None:
    trace = edited("layers.1.self_attn head 1: zero", "layers.1.self_attn:v: scale 2")
    query = trace.find("model.layers.1.self_attn:q")
    assert query is not None
    view = attention_at(trace, query)
    assert view is not None
    for head in range(4):
        found = head_identity(view, head)
        assert found is not None
        assert found.holds


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float8_e5m2])
@pytest.mark.parametrize("action", ["set 1e39", "set -1e300", "clamp 0 1e39", "clamp -1e39 0"])
def test_a_number_that_the_dtype_cannot_hold_is_told(dtype: torch.dtype, action: str) -> None:
    (edit,) = parse_edits([f"x: {action}"], "")
    with pytest.raises(CantEditError, match=f"x: {str(dtype).removeprefix('torch.')} holds numbers up to"):
        changed_by(edit, torch.ones(2).to(dtype), (), "x#0")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize(
    ("action", "expected"),
    [("zero", [0.0, 0.0]), ("scale 2", [2.0, -4.0]), ("set 3", [3.0, 3.0]), ("clamp -1 inf", [1.0, -1.0])],
)
def test_eight_bits_are_edited_as_their_numbers(dtype: torch.dtype, action: str, expected: list[float]) -> None:
    (edit,) = parse_edits([f"x: {action}"], "")
    changed = changed_by(edit, torch.tensor([1.0, -2.0]).to(dtype), (), "x#0")
    assert (changed.dtype, changed.float().tolist()) == (dtype, expected)
    (noise,) = parse_edits(["x: noise 9"], "")
    assert not torch.equal(changed_by(noise, changed, (), "x#0").float(), changed.float())


def test_a_slice_beyond_the_end_has_changed_nothing() -> None:
    (edit,) = parse_edits(["x[:,9:]: zero"], "")
    with pytest.raises(CantEditError, match=r"x: of the shape \[2, 3\] the slice names nothing"):
        changed_by(edit, torch.ones(2, 3), edit.index, "x#0")
    assert changed_by(edit, torch.ones(2, 0), edit.index, "x#0").shape == (2, 0)

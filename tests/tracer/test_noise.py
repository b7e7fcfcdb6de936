"""Noise or bug: a run in float64 with the same rounded weights, and what it says of planted faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.hf_files import model_of, saved
from tests.tracer.mixture_models import fields
from tests.tracer.recipes import recipe
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.rounding.noise import FAR, NoiseReport, Verdict, measure_noise
from tracetui.errors import InputError
from tracetui.expr.edit_parse import parse_edits
from tracetui.headless import rerun_exactly
from tracetui.models.weights.exact import InFloat64, WidenedSource
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import TensorSpec
from tracetui.recipe import Generation, Layers, Prompts, Recipe, load_recipe
from tracetui.recipe.recorded.again import recipe_again
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.call import record_call
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe
from tracetui.views.diff.noise import noise_lines, noise_verdict

Plant = Callable[[Any], None]
LARGER = {"initializer_range": 0.2}
"""Weights at which attention and norms do something that can be told."""
IDS = Prompts(ids=(tuple(range(3, 20)),))


def mixture(family: str, **more: Any) -> Recipe:
    """A tiny mixture of a family, over token ids."""
    config = {**fields(family), **more}
    return Recipe("mixture", "", "mixture.toml", config, Layers(0, config["num_hidden_layers"]), "float32", prompts=IDS)


def run(of: Recipe, plant: Plant | None = None) -> Trace:
    engine = Engine(replace(of, memory=0))
    try:
        if plant:
            plant(engine.runnable.built.module.model.layers[1])
        return engine.run(of.prompts, Gate())
    finally:
        engine.close()


def wrong_attention(layer: Any) -> None:
    layer.self_attn.scaling = 8.0


def judged(a: Trace, b: Trace) -> NoiseReport:
    return measure_noise(report(a, b), *rerun_exactly((a, b), ("a.npz", "b.npz"), None, lambda event: None))


def wrong_epsilon(layer: Any) -> None:
    layer.post_attention_layernorm.variance_epsilon = 20.0


def another_scale(layer: Any) -> None:
    layer.self_attn.scaling = 3.0


def suspects(found: NoiseReport) -> list[str]:
    return [noise.site.site for noise in found.suspects]


@pytest.mark.parametrize("family", ["llama", "deepseek_v3", "gpt_oss"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_a_fault_nothing_is_suspected(family: str, dtype: str) -> None:
    own = recipe() if family == "llama" else mixture(family)
    found = judged(run(replace(own, dtype=dtype)), run(replace(own, dtype="float32")))
    assert suspects(found) == []
    if dtype == "bfloat16" and family == "llama":
        assert all(noise.verdict is Verdict.WITHIN for noise in found.sites)
        assert max(noise.times for noise in found.sites) > 0.2, "the noise is that of bfloat16, not float32's"
        assert "rounding explains it all" in noise_verdict(found)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("plant", "site"),
    [
        (wrong_epsilon, "model.layers.1.post_attention_layernorm"),
        (another_scale, "model.layers.1.self_attn:heads"),
    ],
)
def test_a_fault_is_the_one_suspect_although_all_after_it_differs(dtype: str, plant: Plant, site: str) -> None:
    a = run(recipe(dtype=dtype, config=LARGER), plant)
    found = judged(a, run(recipe(dtype="float32", config=LARGER)))
    assert suspects(found) == [site]
    fault = next(record.index for record in a.records if record.site == site)
    after = [noise for noise in found.sites if noise.site.pair.a.record.index > fault]
    if dtype == "float32":
        assert all(noise.verdict is Verdict.CARRIED for noise in after if noise.site.pair.record.layer != 1)
    assert all(noise.site.outcome is Outcome.DIFFERENT for noise in after if noise.site.pair.record.layer == 2)
    before = [noise for noise in found.sites if noise.site.pair.a.record.index < fault]
    assert all(noise.verdict is Verdict.WITHIN for noise in before)
    suspect = found.suspects[0]
    assert suspect.fed is not None
    assert suspect.times >= FAR * max(1, suspect.fed)
    told = "\n".join(noise_lines(found, 80))
    assert f"suspect    {site}" in told
    assert "the difference is made here, and is no rounding" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 80


def test_of_a_run_that_generated_the_prompt_s_pass_is_measured() -> None:
    own = replace(recipe(config=LARGER), generation=Generation(2))
    wrong = replace(own, edits=parse_edits(["layers.1.mlp: scale 1.1"], ""))
    for a, b in ((wrong, own), (own, wrong)):
        found = judged(trace_recipe(a), trace_recipe(b))
        edited = [noise.site.site for noise in found.sites if noise.verdict is Verdict.EDITED]
        assert (suspects(found), edited) == ([], ["model.layers.1.mlp"])
        assert found.later > 0
        assert f"{found.later} sites of later passes are not measured" in " ".join(noise_lines(found, 200))


def test_a_mixture_s_fault_is_found_in_spite_of_experts_that_changed() -> None:
    own = mixture("mixtral", **LARGER)
    a, b = run(own, wrong_attention), run(own)
    found = judged(a, b)
    assert report(a, b).flips, "experts did change"
    assert suspects(found) == ["model.layers.1.self_attn:heads"]
    lines = list(noise_lines(found, 80))
    assert "inf" not in " ".join(lines).replace("inputs", "").split()
    assert any(line.endswith(" choice") for line in lines), "experts that changed are no number"


def test_nan_is_one_suspect_and_carried_on() -> None:
    def poison(layer: Any) -> None:
        layer.post_attention_layernorm.variance_epsilon = float("nan")

    found = judged(run(recipe(), poison), run(recipe()))
    assert suspects(found) == ["model.layers.1.post_attention_layernorm"]
    lines = list(noise_lines(found, 80))
    assert "one side alone has NaN or infinities here" in " ".join(" ".join(lines).split())
    assert any(line.split()[-2:] == ["NaN,", "Inf"] for line in lines)
    assert max(map(len, lines)) <= 80


def test_the_rerun_has_the_rounded_weights_and_computes_all_in_float64() -> None:
    of = recipe(dtype="bfloat16", config=LARGER)
    ran, exact = trace_recipe(of), trace_recipe(of, exact=True)
    np.testing.assert_array_equal(exact["model.embed_tokens"], ran["model.embed_tokens"])
    assert {record.dtype for record in exact.records} == {"float64"}
    by_site = {record.site: record.provenance for record in ran.records}
    assert all(by_site[record.site] == record.provenance for record in exact.records)
    key = "model.layers.0.input_layernorm"
    x = exact["model.layers.0:input"]
    epsilon = float(exact.run.config.get("rms_norm_eps", 1e-6))  # type: ignore[arg-type]
    np.testing.assert_allclose(exact[key], x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon), rtol=1e-14)
    q, k = (exact[f"model.layers.0.self_attn:{role}"][0].astype(np.float64) for role in "qk")  # [H,T,K] [G,S,K]
    scores = q @ k.repeat(2, axis=0).swapaxes(1, 2) / np.sqrt(q.shape[-1])  # [H,T,S]
    scores = np.where(np.tri(scores.shape[-1], dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    heads = weights / weights.sum(-1, keepdims=True) @ exact["model.layers.0.self_attn:v"][0].repeat(2, axis=0)
    np.testing.assert_allclose(exact["model.layers.0.self_attn:heads"][0], heads, rtol=1e-10, atol=1e-15)


def test_a_widened_source_gives_what_the_narrow_one_rounds_also_inside_the_mode() -> None:
    random = RandomSource(3, 0.02)
    narrow = TensorSpec("a.weight", (8, 16), torch.bfloat16)
    wide = TensorSpec("a.weight", (8, 16), torch.float64)
    with InFloat64():
        found = WidenedSource(random, {"a.weight": torch.bfloat16}).read(wide, None, lambda made: None)
        assert torch.ones(2).float().dtype is torch.float64
        assert (
            torch.zeros(2, dtype=torch.float64).to(torch.float32).softmax(-1, dtype=torch.float32).dtype
            is torch.float64
        )
    assert found.dtype is torch.float64
    assert torch.equal(found, random.read(narrow, None, lambda made: None).double())


def test_a_trace_from_a_file_is_run_again_with_its_own_tokens_layers_and_seed(tmp_path: Path) -> None:
    of = recipe(seed=7, layers=Layers(1, 3))
    trace = trace_recipe(of)
    write_trace(trace, tmp_path / "t.npz")
    again = recipe_again(read_trace(tmp_path / "t.npz"), "t.npz")
    assert (again.layers, again.seed, again.dtype, again.weights) == (of.layers, 7, "float32", None)
    assert again.prompts.ids == tuple(tuple(token.id for token in row) for row in trace.tokens)
    rerun = trace_recipe(again)
    np.testing.assert_array_equal(rerun["logits"], trace["logits"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokens": ()}, "b.npz: holds no tokens"),
        ({"run": RunInfo()}, "b.npz: doesn't say which model it is of; name it with --model"),
        ({"run": RunInfo(recipe={"weights": "random"})}, "b.npz: holds no configuration"),
        ({"run": RunInfo(model="nowhere", recipe={"weights": "w"})}, "can't be found again: nowhere: no such model"),
    ],
)
def test_what_can_t_be_run_again_is_said_with_what_to_do(change: dict[str, Any], said: str) -> None:
    trace = replace(trace_recipe(recipe()), **change)
    with pytest.raises(InputError, match=said):
        recipe_again(trace, "b.npz")
    with pytest.raises(InputError, match=r"--noise: b\.npz: .*; a\.npz: "):
        rerun_exactly((replace(trace, tokens=()), trace), ("a.npz", "b.npz"), None, lambda event: None)


def test_where_b_is_somebody_s_own_file_a_is_run_again() -> None:
    a, b = run(recipe()), run(recipe())
    side, exact = rerun_exactly((a, replace(b, tokens=())), ("a", "b"), None, lambda event: None)
    assert side == "A"
    found = measure_noise(report(a, replace(b, tokens=())), side, exact)
    assert found.side == "A"
    assert suspects(found) == []


def test_weights_of_a_file_are_found_by_model_and_read_as_they_were_rounded(tmp_path: Path) -> None:
    folder = saved(tmp_path / "weights")
    of = replace(load_recipe(str(folder)), dtype="bfloat16", prompts=IDS)
    trace = trace_recipe(of)
    assert trace.run.recipe["weights"] == "weights"
    gone = replace(trace, run=replace(trace.run, model="gone"))
    with pytest.raises(
        InputError, match=r"b\.npz: its model can't be found again: gone: .*; say with --model where it is"
    ):
        recipe_again(gone, "b.npz")
    with pytest.raises(InputError, match=r"ran with weights of weights, which .*config\.json doesn't name"):
        recipe_again(gone, "b.npz", str(folder / "config.json"))
    again = recipe_again(gone, "b.npz", str(folder))
    assert again.weights == folder
    side, exact = rerun_exactly((gone, gone), ("a", "b"), str(folder), lambda event: None)
    assert side == "B"
    np.testing.assert_array_equal(exact["model.embed_tokens"], trace["model.embed_tokens"])
    found = measure_noise(report(trace_recipe(replace(of, dtype="float32")), gone), side, exact)
    assert suspects(found) == []
    assert all(noise.times < FAR for noise in found.sites)


def test_a_model_of_one_s_own_is_measured_against_the_folder_that_it_was_made_from(tmp_path: Path) -> None:
    folder = saved(tmp_path / "weights")
    model = model_of("llama")
    ids = torch.tensor([IDS.ids[0]])
    a, b = record_call(model, ids), record_call(model, ids)
    assert recipe_again(b, "b", str(folder)).dtype == "float32"
    side, exact = rerun_exactly((a, b), ("a", "b"), str(folder), lambda event: None)
    assert suspects(measure_noise(report(a, b), side, exact)) == []
    model.model.layers[1].mlp.down_proj.weight.data[0] *= 1.1
    found = measure_noise(report(record_call(model, ids), b), side, exact)
    assert suspects(found) == ["model.layers.1.mlp.down_proj"]

"""Latent attention computed from its latent: the same results by another way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.latent_models import FAMILIES, fields
from tests.tracer.models import SIZES, prompt, tiny_llama
from tracetui.analysis.attention.heads import all_heads_identity, head_identity
from tracetui.analysis.attention.mla import latent_of
from tracetui.analysis.attention.scores import attention_at
from tracetui.errors import InputError
from tracetui.models.build import build_model
from tracetui.models.memory.plan import plan_run
from tracetui.recipe import Layers, Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.recipe.prompts import Prompts
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.attention.absorbed import check_mla
from tracetui.tracer.call import record_call
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.run import trace_recipe

IDS = [5, 8, 3, 9, 4000, 17, 17]


def made(family: str = "deepseek_v3", mla: str = "absorb", **changes: Any) -> Recipe:
    config = {**fields(family), "vocab_size": 4200}
    return replace(Recipe("tiny", "tiny", "tiny.toml", config, Layers(0, 2), "float32", mla=mla), **changes)


def gap(one: Trace, other: Trace, key: str) -> float:
    return float(np.abs(one[key] - other[key]).max() / np.abs(other[key]).max())


@pytest.mark.parametrize("family", FAMILIES)
def test_both_ways_agree_in_every_family_and_each_is_named(family: str) -> None:
    naive, absorbed = (trace_recipe(made(family, mla), ids=IDS) for mla in ("naive", "absorb"))
    assert {call.kernel for call in naive.attention.values()} <= {"sdpa", "eager"}
    assert {call.kernel for call in absorbed.attention.values()} == {"absorbed"}
    assert (naive.run.recipe["mla"], absorbed.run.recipe["mla"]) == ("naive", "absorb")
    assert naive.attention.keys() == absorbed.attention.keys()
    for query in absorbed.attention:
        assert gap(absorbed, naive, f"{query.removesuffix(':q')}:heads") < 1e-5
    assert 0 < gap(absorbed, naive, "logits") < 1e-5
    assert {record.role for record in naive.records} | {"mask"} == {record.role for record in absorbed.records}


def test_a_mask_that_leaves_out_keys_of_the_past_holds_in_both_ways() -> None:
    """deepseek_v32 lets each query see the best few keys alone."""
    sparse = {**fields("deepseek_v3"), "model_type": "deepseek_v32", "vocab_size": 4200}
    sparse |= {"index_topk": 3, "index_n_heads": 2, "index_head_dim": 16}
    naive, absorbed = (trace_recipe(made(mla=mla, config=sparse), ids=IDS) for mla in ("naive", "absorb"))
    assert {call.kernel for call in absorbed.attention.values()} == {"absorbed"}
    assert gap(absorbed, naive, "logits") < 1e-5
    full = trace_recipe(made(config={**sparse, "index_topk": len(IDS)}), ids=IDS)
    assert gap(full, naive, "logits") > 1e-3


def test_attention_of_another_kind_beside_keeps_its_own_way() -> None:
    model = tiny_llama()
    stock = record_call(model, input_ids=prompt(), use_cache=False)
    recorder = Recorder(RunInfo(), (), Gate().arrived)
    with torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder), absorb=True)):
        model(input_ids=prompt(), use_cache=False)
    found = recorder.finished()
    assert {call.kernel for call in found.attention.values()} == {"eager"}
    np.testing.assert_allclose(found["logits"], stock["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["deepseek_v2", "deepseek_v3", "minicpm3"])
def test_nothing_of_the_output_comes_from_expanded_keys_and_values(family: str) -> None:
    expected = trace_recipe(made(family), ids=IDS)
    engine = Engine(made(family))
    for name, module in engine.runnable.built.module.named_modules():
        if name.endswith("kv_b_proj"):
            module.register_forward_hook(lambda _, args, output: torch.full_like(output, torch.nan))
    found = engine.run(Prompts(ids=(tuple(IDS),)), Gate())
    assert np.isnan(found["model.layers.0.self_attn:v"]).all()
    np.testing.assert_array_equal(found["logits"], expected["logits"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_few_bits_they_agree_within_rounding(dtype: str) -> None:
    naive, absorbed = (trace_recipe(made(mla=mla, dtype=dtype), ids=IDS) for mla in ("naive", "absorb"))
    assert 0 < gap(absorbed, naive, "logits") < 0.05
    for layer in range(2):
        record = absorbed.find(f"model.layers.{layer}.self_attn:q")
        assert record
        view = attention_at(absorbed, record)
        assert view
        latent = latent_of(view)
        assert latent
        for head in range(view.heads):
            assert latent.two_ways(head).holds
            identity = head_identity(view, head)
            assert identity is not None
            assert identity.holds


@pytest.mark.parametrize("mla", ["naive", "absorb"])
def test_at_full_width_no_identity_is_said_to_be_broken(mla: str) -> None:
    """One layer of DeepSeek-V3's own attention, in a narrow stream: many terms, and rounding of each."""
    shipped = load_recipe("deepseek-v3-ref")
    narrow = {"hidden_size": 64, "intermediate_size": 64, "vocab_size": 4200}
    found = trace_recipe(
        replace(shipped, config={**shipped.config, **narrow}, layers=Layers(0, 1), mla=mla), ids=IDS * 3
    )
    record = found.find("model.layers.0.self_attn:q")
    assert record
    view = attention_at(found, record)
    assert view
    identity = all_heads_identity(view)
    assert identity is not None
    assert identity.holds
    assert identity.difference > identity.tolerance / 100


def test_weights_that_pass_by_and_rows_of_different_lengths_change_nothing() -> None:
    rows = Prompts(ids=((5, 8, 3, 9, 4), (7, 7), (1, 2, 3)))
    naive, absorbed = (trace_recipe(made(mla=mla, memory=0, prompts=rows)) for mla in ("naive", "absorb"))
    for row, tokens in enumerate(naive.tokens):
        one, other = (found["logits"][row, : len(tokens)] for found in (absorbed, naive))
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


def test_the_next_run_is_as_it_was() -> None:
    engine = Engine(made())
    first, second = (engine.run(Prompts(ids=(tuple(IDS),)), Gate())["logits"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert engine.runnable.built.config._attn_implementation in ("sdpa", "eager")


def test_the_scores_that_it_keeps_are_in_the_plan() -> None:
    runnable = Engine(made()).runnable
    naive, absorbed = (
        plan_run(runnable.built.module, runnable.weights, 4, 5000, 0, 1, absorb) for absorb in (False, True)
    )
    # Keys are wider than values: sdpa computes the scores too, and their softmax beside them.
    assert absorbed.attending >= 5000 * 5000 * 4 * 4
    assert naive.attending >= 2 * 5000 * 5000 * 4 * 4


def test_models_without_a_latent_are_refused() -> None:
    config = {"model_type": "llama", **SIZES, "vocab_size": 4200}
    llama = Recipe("l", "L", "l.toml", config, Layers(0, 2), "float32", mla="absorb")
    with pytest.raises(InputError) as error:
        Engine(llama)
    assert str(error.value) == (
        "l.toml: mla: absorb needs latent attention (MLA), and no layer of this llama has it; leave --mla out"
    )
    assert "mla" not in Engine(replace(llama, mla="naive")).runnable.recipe.plain()


def test_a_bias_that_can_t_be_absorbed_is_refused() -> None:
    model = build_model(made(), torch.float32).module
    projection = model.get_submodule("model.layers.1.self_attn.kv_b_proj")
    projection.register_parameter("bias", torch.nn.Parameter(torch.zeros(56, device="meta")))
    with pytest.raises(InputError, match="the kv_b_proj of this deepseek_v3 has a bias"):
        check_mla(model, made())


def test_the_way_is_said_in_a_recipe_or_on_the_command_line(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    table = "[config]\nmodel_type = 'x'\nvocab_size = 9\nhidden_size = 8\nnum_hidden_layers = 1\nkv_lora_rank = 4\n"
    path.write_text(f"mla = 'absorb'\n{table}")
    recipe = load_recipe(str(path))
    assert recipe.mla == recipe.plain()["mla"] == "absorb"
    assert with_options(recipe, mla="naive").mla == "naive"
    assert with_options(recipe).mla == "absorb"
    path.write_text(f"mla = 'fold'\n{table}")
    with pytest.raises(InputError, match=r"mine.toml: mla: must be one of naive, absorb, got 'fold'"):
        load_recipe(str(path))
    with pytest.raises(InputError, match=r"^mla: must be one of naive, absorb, got 'fold'"):
        with_options(recipe, mla="fold")

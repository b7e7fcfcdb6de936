"""Hugging Face folders through tracetui, streamed, against transformers' own from_pretrained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.models.hf_files import (
    FAMILIES,
    MOE,
    OWN_WAYS,
    PRECISE,
    assert_computes,
    change_config,
    expected_logits,
    model_of,
    poison,
    saved,
    sharded,
)
from tracetui.debugger.session import Event, Started
from tracetui.models.runnable import BUILTIN_REMARK, make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.record import is_layer
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

IDS = [5, 319, 17, 17, 0, 42, 256, 3, 99, 100, 101]


def run(folder: Path, dtype: str | None = "float32", layers: str | None = None, memory: str = "1") -> Trace:
    return trace_recipe(with_options(load_recipe(str(folder)), dtype=dtype, layers=layers, memory=memory), ids=IDS)


@pytest.mark.parametrize("family", FAMILIES)
def test_streamed_from_the_file_every_family_is_what_transformers_computes(tmp_path: Path, family: str) -> None:
    folder = saved(tmp_path / family, family)
    trace = run(folder)
    assert_computes(trace["logits"], folder, IDS)
    assert "all" in trace.run.notes[0]
    assert {record.provenance for record in trace.records} <= {"file", ""}
    assert all(statistics.finite for statistics in trace.all_statistics())


@pytest.mark.parametrize("family", OWN_WAYS)
def test_families_that_do_things_their_own_way_are_what_transformers_computes(tmp_path: Path, family: str) -> None:
    folder = saved(tmp_path / family, family)
    assert_computes(run(folder)["logits"], folder, IDS)
    cut = run(folder, layers="1:2")
    (entered,) = [record for record in cut.records if record.role == "input" and is_layer(record.module)]
    assert entered.shape == (1, len(IDS), 64)
    embedded = next(record for record in cut.records if record.shape == entered.shape)
    if family not in ("bloom", "opt"):
        # These two add something of their own to the embeddings before the first layer.
        np.testing.assert_array_equal(cut.value(entered).read(), cut.value(embedded).read())
    assert np.isfinite(cut["logits"]).all()


@pytest.mark.parametrize("family", PRECISE)
def test_tensors_that_transformers_keeps_in_float32_keep_their_bits(tmp_path: Path, family: str) -> None:
    dtype, _ = PRECISE[family]
    folder = saved(tmp_path / family, family)
    logits = run(folder, dtype=str(dtype).removeprefix("torch."))["logits"]
    assert_computes(logits, folder, IDS, dtype=dtype)


@pytest.mark.parametrize("family", FAMILIES)
def test_several_files_are_one(tmp_path: Path, family: str) -> None:
    folder = sharded(tmp_path / family, family)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    assert_computes(run(folder)["logits"], folder, IDS)


@pytest.mark.parametrize("family", MOE)
def test_experts_of_one_tensor_each_become_transformers_fused_ones(tmp_path: Path, family: str) -> None:
    folder = sharded(tmp_path / family, family)
    assert_computes(run(folder)["logits"], folder, IDS)


def test_the_dtype_is_the_file_s_unless_said(tmp_path: Path) -> None:
    folder = change_config(saved(tmp_path / "llama", dtype=torch.bfloat16), dtype="float32")
    own, widened = run(folder, dtype=None), run(folder)
    assert [trace.records[-1].dtype for trace in (own, widened)] == ["bfloat16", "float32"]
    assert_computes(widened["logits"], folder, IDS)


def test_a_config_alone_runs_with_random_weights_of_its_own_dtype(tmp_path: Path) -> None:
    folder = saved(tmp_path / "gpt2", "gpt2")
    (folder / "model.safetensors").unlink()
    for said, dtype in (("float16", "float16"), ("float8_e4m3fn", "bfloat16")):
        change_config(folder, dtype=said)
        trace = trace_recipe(load_recipe(str(folder / "config.json")), ids=IDS)
        assert (trace.records[-1].dtype, trace.run.model) == (dtype, "gpt2")
        assert {record.provenance for record in trace.records} == {"random", ""}


def test_a_checkpoint_saved_from_the_base_model_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    model = model_of("llama", tie_word_embeddings=True)
    model.config.save_pretrained(folder)
    model.model.save_pretrained(folder)
    expected = expected_logits(folder, IDS)
    np.testing.assert_array_equal(run(folder)["logits"], expected.numpy())
    change_config(folder, tie_word_embeddings=False)
    trace = run(folder)
    assert trace.run.notes[0] == (
        "model.safetensors: 29 tensors from the file, 1 random: layers 0–2 from the file; lm_head.weight random"
    )
    np.testing.assert_array_equal(
        trace["model.norm"], run(change_config(folder, tie_word_embeddings=True))["model.norm"]
    )


def test_layers_left_out_are_never_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "llama")
    whole = run(folder)
    poison(folder, "layers.2.")
    trace = run(folder, layers="2")
    assert trace.run.notes[0] == "model.safetensors: all 21 tensors from the file"
    assert len(trace.run.notes) == 3, "the layers that are left out, and whose tokens these are"
    np.testing.assert_array_equal(trace["model.layers.1"], whole["model.layers.1"])
    assert np.isfinite(trace["logits"]).all()
    assert np.isnan(run(folder)["logits"]).any()


def test_a_range_of_layers_is_what_it_is_in_the_whole_model(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "qwen2", "qwen2")
    model = model_of("qwen2")
    trace = run(folder, layers="1:2")
    embedded = torch.from_numpy(trace["model.embed_tokens"])
    with torch.no_grad():
        positions = model.model.rotary_emb(embedded, torch.arange(len(IDS))[None])
        # Without a mask the first token alone sees what the model lets it see.
        expected = model.model.layers[1](embedded[:, :1], position_embeddings=[part[:, :1] for part in positions])
    np.testing.assert_allclose(trace["model.layers.1"][:, :1], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_only_the_prompt_s_embedding_rows_are_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "llama")
    expected = expected_logits(folder, IDS)
    model = model_of("llama")
    with torch.no_grad():
        rows = torch.full_like(model.model.embed_tokens.weight, torch.nan)
        rows[IDS] = model.model.embed_tokens.weight[IDS]
        model.model.embed_tokens.weight.copy_(rows)
    model.save_pretrained(folder)
    np.testing.assert_array_equal(run(folder)["logits"], expected.numpy())


def test_a_missing_shard_makes_its_tensors_random_and_says_so(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "llama")
    whole = run(folder)
    shards = sorted(folder.glob("model-*.safetensors"))
    shards[-1].unlink()
    trace = run(folder)
    assert trace.run.notes[0].startswith(f"{shards[-1].name}: is missing, and with it ")
    assert "random: " in trace.run.notes[1]
    assert "some weights are random" in trace.run.notes[-1]
    assert {record.provenance for record in trace.records} == {"file", "random", ""}
    np.testing.assert_array_equal(trace["model.layers.0"], whole["model.layers.0"])
    assert not np.array_equal(trace["logits"], whole["logits"])


def test_files_without_their_index_are_read_too(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "llama")
    expected = expected_logits(folder, IDS)
    (folder / "model.safetensors.index.json").unlink()
    np.testing.assert_array_equal(run(folder)["logits"], expected.numpy())


def test_a_tie_that_the_file_breaks_is_broken_as_transformers_does(tmp_path: Path) -> None:
    folder = saved(tmp_path / "qwen2", "qwen2", tie_word_embeddings=False)
    change_config(folder, tie_word_embeddings=True)
    trace = run(folder)
    assert_computes(trace["logits"], folder, IDS)
    assert "lm_head.weight: differs from model.embed_tokens.weight in the file" in trace.run.notes[1]
    # Where only one of them does, torch multiplies by another kernel, with other last bits.
    weights = make_runnable(with_options(load_recipe(str(folder)), dtype="float32")).built.module.named_parameters()
    assert {name for name, weight in weights if not weight.requires_grad} == set()


def test_a_tied_tensor_is_found_under_either_name(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = saved(tmp_path / "qwen2", "qwen2")
    expected = expected_logits(folder, IDS)
    path = folder / "model.safetensors"
    state = load_file(path)
    state["lm_head.weight"] = state.pop("model.embed_tokens.weight")
    save_file(state, path, {"format": "pt"})
    np.testing.assert_array_equal(run(folder)["logits"], expected.numpy())
    np.testing.assert_array_equal(expected, expected_logits(folder, IDS).numpy())
    save_file({**state, "model.embed_tokens.weight": state["lm_head.weight"].clone()}, path, {"format": "pt"})
    trace = run(folder)
    np.testing.assert_array_equal(trace["logits"], expected.numpy())
    assert trace.run.notes == ("model.safetensors: all 38 tensors from the file", BUILTIN_REMARK)


@pytest.mark.parametrize("family", [*FAMILIES, *MOE])
def test_the_plan_is_near_what_is_recorded(tmp_path: Path, family: str) -> None:
    events: list[Event] = []
    recipe = with_options(load_recipe(str(saved(tmp_path / family, family))), memory="1", dtype="float32")
    trace = trace_recipe(recipe, ids=IDS * 4, emit=events.append)
    plan = next(event.plan for event in events if isinstance(event, Started))
    recorded = sum({id(value): value.read().nbytes for value in trace.values}.values())
    assert 0.7 * recorded < plan.activations < 1.5 * recorded

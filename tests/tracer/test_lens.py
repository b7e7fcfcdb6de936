"""A layer's lens is the model's own norm and output matrix on its residual; the last layer's is the prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.recipes import recipe
from tests.tracer.test_families import IDS, config_of, ordinary
from tests.tracer.test_generating import config_file
from tracetui.recipe import Generation, Prompts, load_recipe
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

K = 4
FAMILIES = (
    "llama",
    "gemma2",
    "gpt2",
    "gpt_neox",
    "phi",
    "cohere",
    "granite",
    "mixtral",
    "deepseek_v3",
    "bloom",
    "mamba",
)
ROUNDING = 1e-5


def looked(family: str, folder: Path, **fields: Any) -> Trace:
    path = config_file(family, folder)
    return trace_recipe(replace(load_recipe(str(path)), dtype="float32", memory=0, lens=K, **fields), ids=IDS)


def best(logits: Any) -> tuple[Any, Any]:
    """Ids and probabilities [B,T,k] of logits [B,T,V]."""
    found = torch.as_tensor(np.asarray(logits)).float().softmax(-1).topk(K)
    return found.indices.numpy(), found.values.numpy()


def layer_paths(trace: Trace) -> list[str]:
    return [record.module for record in trace.records if record.role == "lens_ids"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_layers_lens_is_what_the_model_predicts(family: str, tmp_path: Path) -> None:
    trace = looked(family, tmp_path)
    paths = layer_paths(trace)
    assert len(paths) == 2
    ids, probs = best(trace["logits"])
    np.testing.assert_array_equal(trace[f"{paths[-1]}:lens_ids"], ids)
    np.testing.assert_array_equal(trace[f"{paths[-1]}:lens_probs"], probs)
    assert not [note for note in trace.run.notes if note.startswith("lens")]
    assert {int(each) for path in paths for each in trace[f"{path}:lens_ids"].flat} <= set(trace.vocabulary)


@pytest.mark.parametrize("family", ["llama", "gemma2", "cohere", "granite"])
def test_an_earlier_layers_lens_is_that_of_a_model_that_ends_there(family: str, tmp_path: Path) -> None:
    trace = looked(family, tmp_path)
    first = layer_paths(trace)[0]
    model = ordinary(config_file(family, tmp_path), "float32")
    model.model.layers = model.model.layers[:1]
    model.config.num_hidden_layers = 1
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([IDS]), use_cache=False).logits  # [1,T,V]
    ids, probs = best(logits)
    np.testing.assert_allclose(trace[f"{first}:lens_probs"], probs, rtol=0, atol=ROUNDING)
    same = trace[f"{first}:lens_ids"] == ids
    assert same.mean() > 0.9
    assert config_of(family)["model_type"] == family


def test_blocks_of_rows_give_what_one_product_gives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = looked("llama", tmp_path)
    monkeypatch.setattr("tracetui.tracer.lens.LENS_BYTES", 3 * 4 * 300)
    parts = looked("llama", tmp_path)
    for path in layer_paths(whole):
        np.testing.assert_allclose(parts[f"{path}:lens_probs"], whole[f"{path}:lens_probs"], rtol=0, atol=1e-7)


def test_what_the_lens_cannot_know_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tracetui.tracer.lens._number", lambda config, name: None)
    trace = looked("granite", tmp_path, config={**config_of("granite"), "logits_scaling": 9.0})
    assert [note for note in trace.run.notes if note.startswith("lens: this model does something")]


def test_without_the_option_nothing_of_it_is_there_and_nothing_else_changes() -> None:
    prompts = Prompts(ids=((5, 8, 299, 3), (7, 7, 7, 7)))
    plain, lensed = (trace_recipe(recipe(prompts=prompts, lens=count)) for count in (0, K))
    roles = {record.role for record in lensed.records} - {record.role for record in plain.records}
    assert roles == {"lens_ids", "lens_probs"}
    assert lensed["model.layers.0:lens_ids"].shape == (2, 4, K)
    for record in plain.records:
        np.testing.assert_array_equal(plain[record.key], lensed[record.key])


def test_every_pass_has_its_own_and_the_file_keeps_them(tmp_path: Path) -> None:
    generation = Generation(3, stop=())
    trace = trace_recipe(recipe(prompts=Prompts(ids=((5, 8, 299),)), lens=K, generation=generation))
    write_trace(trace, tmp_path / "t.npz")
    again = read_trace(tmp_path / "t.npz")
    assert again["model.layers.2:lens_ids@2"].shape == (1, 1, K)
    assert int(again["model.layers.2:lens_ids@2"][0, 0, 0]) == trace.tokens[0][-1].id
    assert again["model.layers.0:lens_ids"].dtype == np.int64

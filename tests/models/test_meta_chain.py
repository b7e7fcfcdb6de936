"""Meta's files through tracetui, stop by stop, against Meta's formulas written down apart from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.models import meta_reference
from tests.models.meta_files import CHECKPOINT, PARAMS, Params, overwrite, rewrite_zip, state_dict, write_folder
from tracetui.analysis.attention.scores import AttentionView, attention_at
from tracetui.analysis.rope.pairs import RopeCheck, check_rope
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

IDS = [5, 299, 17, 17, 0, 42, 256, 3, 99, 100, 101, 250, 8, 77, 12, 4, 9]
HEADS, LAYERS = 4, 3
TOLERANCE = 1e-4


def run(folder: Path, dtype: str = "float32", layers: str | None = None) -> Trace:
    return trace_recipe(with_options(load_recipe(str(folder)), dtype=dtype, layers=layers), ids=IDS)


def gap(found: npt.NDArray[Any], expected: torch.Tensor | npt.NDArray[Any]) -> float:
    """The largest difference, relative to the largest value."""
    wanted = np.asarray(expected)
    assert found.shape == wanted.shape
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    return float(np.abs(found[finite] - wanted[finite]).max() / np.abs(wanted[finite]).max())


def attention(trace: Trace, layer: int) -> AttentionView:
    record = trace.find(f"model.layers.{layer}.self_attn:q")
    assert record
    view = attention_at(trace, record)
    assert view
    return view


@pytest.fixture(scope="module", params=["plain", "scaled", "no groups"])
def compared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, dict[str, Any]]:
    """One model's trace, and the reference's tensors as arrays."""
    changes: dict[str, Params] = {
        "plain": {},
        "scaled": {"use_scaled_rope": True, "rope_theta": 100.0},
        "no groups": {"n_kv_heads": 4},
    }
    params = {**PARAMS, **changes[request.param]}
    state = state_dict(params)
    trace = run(write_folder(tmp_path_factory.mktemp("meta") / "llama", state, params))
    reference = meta_reference.forward(state, params, IDS)
    return trace, {name: tensor.numpy() for name, tensor in reference.items()}


@pytest.mark.parametrize("layer", range(LAYERS))
def test_every_layer_is_meta_s(compared: tuple[Trace, dict[str, Any]], layer: int) -> None:
    trace, reference = compared
    sites = {
        ":attn_residual": "attn_residual",
        ".mlp.gate_proj": "gate",
        ".mlp.up_proj": "up",
        ".mlp.down_proj": "down",
        "": "out",
    }
    for site, name in sites.items():
        assert gap(trace[f"model.layers.{layer}{site}"][0], reference[f"{layer}.{name}"]) < TOLERANCE, name


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("head", range(HEADS))
def test_every_head_is_meta_s(compared: tuple[Trace, dict[str, Any]], layer: int, head: int) -> None:
    trace, reference = compared
    view = attention(trace, layer)
    for kind in ("scores", "masked", "probs"):
        assert gap(view.matrix(kind, head), reference[f"{layer}.{kind}"][head]) < TOLERANCE, kind
    assert gap(trace[f"model.layers.{layer}.self_attn:heads"][0, head], reference[f"{layer}.heads"][head]) < TOLERANCE
    value = trace[f"model.layers.{layer}.self_attn:v"][0, view.kv_head(head)]
    assert gap(value, reference[f"{layer}.v"][:, head]) < TOLERANCE


def test_the_end_is_meta_s(compared: tuple[Trace, dict[str, Any]]) -> None:
    trace, reference = compared
    assert gap(trace["model.norm"][0], reference["norm"]) < TOLERANCE
    assert gap(trace["logits"][0], reference["logits"]) < TOLERANCE


def test_weights_left_in_meta_s_row_order_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_dict()
    folder = write_folder(tmp_path / "llama", state)
    monkeypatch.setattr("tracetui.models.checkpoints.meta.halves_order", lambda heads, rows: torch.arange(rows))
    trace = run(folder)
    reference = meta_reference.forward(state, PARAMS, IDS)
    assert gap(attention(trace, 0).matrix("scores", 0), reference["0.scores"][0]) > 1e-2
    assert gap(trace["logits"][0], reference["logits"]) > 1e-2


def test_the_file_s_layout_is_told_and_what_leaving_it_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "llama", state_dict(layers=2))
    found = check_rope(attention(run(folder), 0), 3)
    assert isinstance(found, RopeCheck)
    assert (found.layout, found.rotated, found.width) == ("halves", 16, 16)
    assert "Meta's file has adjacent pairs" in found.evidence[-2]
    random = check_rope(attention(run(folder), 2), 3)
    assert isinstance(random, RopeCheck)
    assert not any("Meta" in line for line in random.evidence), "random rows come from no file"
    monkeypatch.setattr("tracetui.models.checkpoints.meta.halves_order", lambda heads, rows: torch.arange(rows))
    left = attention(run(folder), 0).matrix("scores", 3)
    off = np.abs(left - found.view.matrix("scores", 3)).max()
    assert found.evidence[-1] == f"without that, halves would be off by {off:.4g}"


def test_a_bfloat16_file_runs_in_bfloat16_unless_told_otherwise(tmp_path: Path) -> None:
    state = state_dict(dtype=torch.bfloat16)
    folder = write_folder(tmp_path / "llama", state)
    reference = meta_reference.forward(state, PARAMS, IDS)["logits"]
    own, widened = run(folder, dtype="auto"), run(folder)
    record = own.find("logits")
    assert record
    assert record.dtype == "bfloat16"
    assert gap(own["logits"][0], reference) < 0.05
    assert gap(widened["logits"][0], reference) < TOLERANCE


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_the_stretched_rotary_frequencies_are_meta_s(tmp_path: Path, factor: float) -> None:
    params = {**PARAMS, "use_scaled_rope": True, "rope_scaling_factor": factor}
    trace = run(write_folder(tmp_path / "llama", None, params))
    angles = torch.arange(len(IDS)).double()[:, None] * meta_reference.frequencies(16, params)
    cos = np.concatenate([angles.cos(), angles.cos()], axis=-1)
    plain = torch.arange(len(IDS)).double()[:, None] * meta_reference.frequencies(16, PARAMS)
    np.testing.assert_allclose(trace["model.rotary_emb"][0], cos, atol=1e-6)
    assert float((plain - angles).abs().max()) > 1e-3


def test_the_layers_that_a_cut_file_lacks_are_random_and_say_so(tmp_path: Path) -> None:
    state = state_dict(layers=2)
    trace = run(write_folder(tmp_path / "llama", state))
    assert trace.run.notes[0] == (
        "consolidated.00.pth: 21 tensors from the file, 9 random: layers 0–1 from the file; layer 2 random"
    )
    assert "some weights are random" in trace.run.notes[1]
    for record in trace.records:
        if record.provenance:
            assert record.provenance == ("random" if record.layer == 2 else "file"), record.key
    whole = meta_reference.forward(state_dict(), PARAMS, IDS)
    assert gap(trace["model.layers.1"][0], whole["1.out"]) < TOLERANCE
    assert gap(trace["model.layers.2"][0], whole["2.out"]) > 1e-2


def test_layers_left_out_are_never_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "llama")
    poison(folder / CHECKPOINT, "layers.2.")
    trace = run(folder, layers="2")
    reference = meta_reference.forward(state_dict(), PARAMS, IDS)
    assert gap(trace["model.layers.1"][0], reference["1.out"]) < TOLERANCE
    assert np.isfinite(trace["logits"]).all()
    assert np.isnan(run(folder)["logits"]).any()


def test_only_the_prompt_s_embedding_rows_are_read(tmp_path: Path) -> None:
    state = state_dict()
    folder = write_folder(tmp_path / "llama", state)
    rows = torch.full_like(state["tok_embeddings.weight"], torch.nan)
    rows[IDS] = state["tok_embeddings.weight"][IDS]
    overwrite(folder / CHECKPOINT, "data/0", rows.numpy().tobytes())
    assert gap(run(folder)["logits"][0], meta_reference.forward(state, PARAMS, IDS)["logits"]) < TOLERANCE


def test_a_file_zipped_again_by_another_program_reads_the_same(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "llama")
    rewrite_zip(folder / CHECKPOINT, lambda name, content: content)
    reference = meta_reference.forward(state_dict(), PARAMS, IDS)
    assert gap(run(folder)["logits"][0], reference["logits"]) < TOLERANCE


def poison(path: Path, prefix: str) -> None:
    """Fill every tensor whose name begins so with NaN, in the file."""
    names = list(state_dict())
    for index, name in enumerate(names):
        if name.startswith(prefix):
            overwrite(path, f"data/{index}", b"\xff" * 2**20)

"""Folders of DeepSeek-V3's reference code through tracetui, stop by stop, against that code's formulas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models import deepseek_reference
from tests.models.deepseek_files import BASE, FILE, FORMS, State, in_float8, state_dict, write_folder
from tests.models.deepseek_reference import Mistakes, Params
from tracetui.analysis.attention.scores import attention_at
from tracetui.analysis.rope.pairs import RopeCheck, check_rope
from tracetui.errors import InputError
from tracetui.models.build import build_model
from tracetui.models.checkpoints.deepseek_names import published_name, reference_name
from tracetui.models.deepseek_gate import DeepseekReferenceGate
from tracetui.models.runnable import BUILTIN_REMARK
from tracetui.recipe import Layers, Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.recipe.reference import reference_config
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

IDS = [5, 47, 17, 17, 0, 42, 25, 3, 259, 40, 31, 25, 8, 7, 12, 4, 9]
TOLERANCE = 1e-5
"""Of float32, relative to the largest value. The smallest mistake must be a hundred times as large."""


def run(
    folder: Path, dtype: str = "float32", layers: str | None = None, weights: Path | None = None, mla: str = "naive"
) -> Trace:
    recipe = with_options(load_recipe(str(folder)), dtype=dtype, layers=layers, weights=weights, mla=mla)
    return trace_recipe(recipe, ids=IDS)


def gap(found: npt.NDArray[Any], expected: torch.Tensor | npt.NDArray[Any]) -> float:
    """The largest difference, relative to the largest value; infinite ones must stand in the same places."""
    wanted = np.asarray(expected)
    assert found.shape == wanted.shape
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(np.isfinite(found), finite)
    return float(np.abs(found[finite] - wanted[finite]).max() / np.abs(wanted[finite]).max())


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest) -> tuple[Params, State]:
    params = FORMS[request.param]
    return params, state_dict(params)


@pytest.fixture(scope="module")
def folder(form: tuple[Params, State], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("ref") / "v3", *form)


@pytest.fixture(scope="module", params=["naive", "absorb"])
def mla(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def naive(folder: Path) -> Trace:
    return run(folder)


@pytest.fixture(scope="module")
def absorbed(folder: Path) -> Trace:
    return run(folder, mla="absorb")


@pytest.fixture(scope="module")
def trace(naive: Trace, absorbed: Trace, mla: str) -> Trace:
    return naive if mla == "naive" else absorbed


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=["float64", "float32"])
def reference(form: tuple[Params, State], mla: str, request: pytest.FixtureRequest) -> dict[str, npt.NDArray[Any]]:
    """What the reference's formulas give, in the way that the trace was made."""
    found = deepseek_reference.forward(form[1], form[0], IDS, mla, request.param)
    return {name: tensor.numpy() for name, tensor in found.items()}


def test_every_layer_is_the_reference_s(
    form: tuple[Params, State], trace: Trace, reference: dict[str, npt.NDArray[Any]]
) -> None:
    note, tokens = trace.run.notes
    assert tokens == BUILTIN_REMARK
    assert re.fullmatch(rf"{FILE}: all \d+ tensors from the file", note)
    sites = {":attn_residual": "attn_residual", ".self_attn": "attn", ".mlp": "ffn", "": "out"}
    for layer in range(form[0]["n_layers"]):
        for site, name in sites.items():
            assert gap(trace[f"model.layers.{layer}{site}"][0], reference[f"{layer}.{name}"]) < TOLERANCE, name
    assert gap(trace["model.norm"][0], reference["norm"]) < TOLERANCE
    assert gap(trace["logits"][0], reference["logits"]) < TOLERANCE


def test_the_trace_says_of_what_form_it_is_and_what_turns_together(form: tuple[Params, State], trace: Trace) -> None:
    assert trace.run.recipe["layout"] == "reference"
    for layer in range(form[0]["n_layers"]):
        record = trace.find(f"model.layers.{layer}.self_attn:q")
        assert record
        view = attention_at(trace, record)
        assert view
        checked = check_rope(view, 0)
        assert isinstance(checked, RopeCheck)
        assert checked.layout == "pairs"


def test_every_head_is_the_reference_s(
    form: tuple[Params, State], trace: Trace, reference: dict[str, npt.NDArray[Any]]
) -> None:
    for layer in range(form[0]["n_layers"]):
        record = trace.find(f"model.layers.{layer}.self_attn:q")
        assert record
        view = attention_at(trace, record)
        assert view
        heads = trace[f"model.layers.{layer}.self_attn:heads"][0]
        for head in range(form[0]["n_heads"]):
            for kind in ("scores", "masked", "probs"):
                assert gap(view.matrix(kind, head), reference[f"{layer}.{kind}"][head]) < TOLERANCE, kind
            assert gap(heads[head], reference[f"{layer}.heads"][head]) < TOLERANCE


def test_every_gate_chooses_and_weighs_as_the_reference_s(
    form: tuple[Params, State], trace: Trace, reference: dict[str, npt.NDArray[Any]]
) -> None:
    for layer in range(form[0]["n_dense_layers"], form[0]["n_layers"]):
        gate = f"model.layers.{layer}.mlp.gate"
        logits, weights, chosen = trace[gate], trace[f"{gate}#1"], trace[f"{gate}#2"]
        assert gap(logits, reference[f"{layer}.router_logits"]) < TOLERANCE
        np.testing.assert_array_equal(np.sort(chosen, axis=-1), reference[f"{layer}.experts"])
        dense = np.zeros_like(logits)
        np.put_along_axis(dense, chosen, weights, axis=-1)
        assert gap(dense, reference[f"{layer}.weights"]) < TOLERANCE
        block = f"model.layers.{layer}.mlp"
        for role in ("router_scores", "selection_scores"):
            assert gap(trace[f"{block}:{role}"], reference[f"{layer}.{role}"]) < TOLERANCE, role
        assert (f"{block}:selection_bias" in trace) == (form[0]["dim"] == 7168)


@pytest.mark.parametrize("name", ["unbiased", "unbiased softmax"])
def test_the_groups_of_a_single_token_are_told_as_they_were_ranked(tmp_path: Path, name: str) -> None:
    """Of one choice alone it can't be seen how groups were ranked: the gate itself has to say it."""
    params = {**FORMS[name], "n_activated_experts": 1}
    state = state_dict(params)
    folder = write_folder(tmp_path / "v3", params, state)
    recipe = with_options(load_recipe(str(folder)), dtype="float32")
    for token in range(12):
        found = trace_recipe(recipe, ids=[token])
        expected = deepseek_reference.forward(state, params, [token])
        assert gap(found["model.layers.1.mlp:selection_scores"], expected["1.selection_scores"]) < TOLERANCE


def test_what_an_absorbed_cache_holds_is_the_reference_s(
    form: tuple[Params, State], trace: Trace, mla: str, reference: dict[str, npt.NDArray[Any]]
) -> None:
    for layer in range(form[0]["n_layers"]):
        path = f"model.layers.{layer}.self_attn"
        assert trace.attention[f"{path}:q"].kernel == ("absorbed" if mla == "absorb" else "sdpa")
        assert gap(trace[f"{path}:kv_latent"][0], reference[f"{layer}.latent"]) < TOLERANCE
        # transformers puts the first elements of all pairs before the second ones, in query and key alike.
        pairs = reference[f"{layer}.k_pe"]
        apart = np.concatenate([pairs[:, 0::2], pairs[:, 1::2]], axis=-1)
        assert gap(trace[f"{path}:k_rope"][0], apart) < TOLERANCE
        if mla == "absorb":
            assert gap(trace[f"{path}:q_absorbed"][0], reference[f"{layer}.q_absorbed"]) < TOLERANCE


def test_both_ways_agree(form: tuple[Params, State], naive: Trace, absorbed: Trace) -> None:
    for layer in range(form[0]["n_layers"]):
        for site in (".self_attn:heads", ""):
            key = f"model.layers.{layer}{site}"
            assert 0 < gap(absorbed[key], naive[key]) < TOLERANCE
    assert gap(absorbed["logits"], naive["logits"]) < TOLERANCE
    one, other = (deepseek_reference.forward(form[1], form[0], IDS, mla)["logits"] for mla in ("naive", "absorb"))
    assert 0 < gap(one.numpy(), other) < 1e-12


CAUGHT = {
    "biased": ("halves", "bias_as_weight", "other_ranking", "never_normalised", "unscaled", "unstretched"),
    "biased softmax": ("halves", "bias_as_weight", "other_ranking", "always_normalised", "unscaled", "unstretched"),
    "unbiased": ("halves", "other_ranking", "never_normalised"),
    "unbiased softmax": ("halves", "other_ranking", "always_normalised", "unscaled", "unstretched"),
    "one group": ("halves", "never_normalised", "unscaled", "unstretched"),
}


@pytest.mark.parametrize("mistake", Mistakes.__dataclass_fields__)
def test_a_mistake_would_be_noticed(form: tuple[Params, State], naive: Trace, mistake: str) -> None:
    name = next(name for name, params in FORMS.items() if params is form[0])
    wrong = deepseek_reference.forward(form[1], form[0], IDS, wrong=Mistakes(**{mistake: True}))
    found = gap(naive["logits"][0], wrong["logits"])
    if mistake in CAUGHT[name]:
        assert found > 100 * TOLERANCE
    else:
        # There it is no mistake: what it changes isn't there.
        assert found < TOLERANCE


@pytest.mark.parametrize("changes", [{}, {"original_seq_len": 256}, {"rope_factor": 1.0}, {"mscale": 0}])
def test_the_rotary_embedding_and_the_scale_are_the_reference_s(tmp_path: Path, changes: dict[str, Any]) -> None:
    params = {**BASE, "n_layers": 1, **changes}
    found = run(write_folder(tmp_path / "v3", params, state_dict(params)))
    angles = torch.arange(len(IDS)).double()[:, None] * deepseek_reference.frequencies(params)  # [T,rope/2]
    for part, expected in (("", angles.cos()), ("#1", angles.sin())):
        wanted = np.concatenate([expected, expected], axis=-1)  # [T,rope]
        np.testing.assert_allclose(found[f"model.rotary_emb{part}"][0], wanted, atol=1e-6)
    call = found.attention["model.layers.0.self_attn:q"]
    assert call.scale == pytest.approx(deepseek_reference.softmax_scale(params), rel=1e-12)


def test_float8_matrices_are_multiplied_out(tmp_path: Path) -> None:
    params = {**FORMS["biased"], "dtype": "fp8"}
    stored, meant = in_float8(state_dict(params))
    assert stored["layers.0.attn.wq_a.scale"].shape == (1, 56)
    found = run(write_folder(tmp_path / "v3", params, stored))
    expected = deepseek_reference.forward(meant, params, IDS)
    assert gap(found["logits"][0], expected["logits"]) < TOLERANCE
    record = found.find("model.layers.0.self_attn.q_a_proj")
    assert record
    assert record.provenance == "dequantised float8"
    plain = deepseek_reference.forward(state_dict(params), params, IDS)
    assert gap(found["logits"][0], plain["logits"]) > 100 * TOLERANCE


def test_the_model_s_dtype_is_bfloat16_where_the_file_says_none(tmp_path: Path) -> None:
    params = {**BASE, "dtype": "fp8"}
    stored, _ = in_float8(state_dict(params))
    small = {name: tensor.bfloat16() if tensor.dtype == torch.float32 else tensor for name, tensor in stored.items()}
    scales = {name: tensor for name, tensor in stored.items() if name.endswith(".scale")}
    found = run(write_folder(tmp_path / "v3", params, small | scales), dtype="auto")
    assert found.records[-1].dtype == "bfloat16"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("layers.0.attn.wq_a.scale", None), "layers.0.attn.wq_a.weight: is float8_e4m3fn, which means nothing"),
        (("layers.0.attn.wq_a.scale", torch.ones(2, 1)), "layers.0.attn.wq_a.scale: must be of the shape [1"),
        (("layers.0.ffn_norm.weight", torch.ones(3)), "layers.0.ffn_norm.weight: must have the shape [32], got [3]"),
        (("model.embed_tokens.weight", torch.ones(3)), "embed.weight: stands there under another name too"),
    ],
)
def test_a_faulty_tensor_is_told_by_the_file_s_own_name(
    tmp_path: Path, change: tuple[str, torch.Tensor | None], said: str
) -> None:
    stored, _ = in_float8(state_dict(BASE))
    state = {name: tensor for name, tensor in {**stored, change[0]: change[1]}.items() if tensor is not None}
    folder = write_folder(tmp_path / "v3", BASE, state)
    with pytest.raises(InputError) as error:
        run(folder)
    assert str(error.value).startswith(f"{folder / FILE}: {said}")


def test_what_is_missing_is_random_and_what_is_too_much_is_named(tmp_path: Path) -> None:
    state = state_dict(BASE)
    del state["layers.2.ffn.experts.7.w2.weight"]
    state["layers.1.ffn.gate.bias"] = torch.ones(BASE["n_routed_experts"])
    first, second, *_ = run(write_folder(tmp_path / "v3", BASE, state)).run.notes
    assert "layer 2 partly" in first
    # Of a width other than 7168 the reference code's gate has none.
    assert second == f"{FILE}: read over, no module asks for layers.1.ffn.gate.bias"


def test_layers_left_out_are_never_read(tmp_path: Path) -> None:
    state = state_dict(BASE)
    expected = deepseek_reference.forward(state, BASE, IDS)
    spoilt = {name: tensor * torch.nan if "layers.2" in name else tensor for name, tensor in state.items()}
    found = run(write_folder(tmp_path / "v3", BASE, spoilt), layers="2")
    assert gap(found["model.layers.1"][0], expected["1.out"]) < TOLERANCE
    assert np.isfinite(found["logits"]).all()
    assert found.run.notes[0].endswith("tensors from the file")


def test_a_recipe_of_either_form_reads_either_file(tmp_path: Path) -> None:
    state = state_dict(BASE)
    folder = write_folder(tmp_path / "v3", BASE, state, config="config_mini.json")
    own = run(folder)
    recipe = tmp_path / "mine.toml"
    fields = "\n".join(f"{name} = {json.dumps(value)}" for name, value in BASE.items())
    recipe.write_text(f'weights = "published"\n[reference]\n{fields}\n')
    published = {published_name(name) or name: tensor for name, tensor in load_file(folder / FILE).items()}
    (tmp_path / "published").mkdir()
    save_file(published, tmp_path / "published" / "model.safetensors")
    np.testing.assert_array_equal(run(recipe)["logits"], own["logits"])
    np.testing.assert_array_equal(run(recipe, weights=folder)["logits"], own["logits"])


def test_slices_for_several_processes_are_refused_with_advice(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "v3", BASE, {})
    for index in range(2):
        (folder / f"model{index}-mp2.safetensors").touch()
    (folder / FILE).unlink()
    with pytest.raises(InputError, match=r"model0-mp2.safetensors: holds a slice .* --model-parallel 1"):
        run(folder)


def test_the_same_model_in_published_words_has_the_same_numbers() -> None:
    reference, published = load_recipe("deepseek-v3-ref"), load_recipe("deepseek-v3")
    small = {"hidden_size": 64, "intermediate_size": 48, "moe_intermediate_size": 16, "vocab_size": 300}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 2, "first_k_dense_replace": 1}
    one, other = (
        trace_recipe(Recipe("r", "R", "r", {**recipe.config, **small}, Layers(0, 2), dtype="float32"), ids=IDS)
        for recipe in (reference, published)
    )
    np.testing.assert_array_equal(one["logits"], other["logits"])


def test_transformers_router_stays_where_it_is_the_reference_s() -> None:
    for name, params in FORMS.items():
        recipe = Recipe("r", "R", "r", reference_config(params, "r"), Layers(0, params["n_layers"]))
        built = build_model(recipe, torch.float32)
        gate = built.module.get_submodule("model.layers.1.mlp.gate")
        assert isinstance(gate, DeepseekReferenceGate) == (name != "biased")
        assert (dict(gate.named_buffers()).keys() == {"e_score_correction_bias"}) == name.startswith("biased")
        assert not built.notes


def test_every_name_goes_there_and_back() -> None:
    for params in (FORMS["unbiased"], FORMS["unbiased softmax"]):
        stored = [*in_float8(state_dict(params))[0], "layers.1.ffn.gate.bias"]
        published = [published_name(name) or "" for name in stored]
        assert [reference_name(name) for name in published] == stored
        assert len(set(published)) == len(published)
    for name in (
        "layers.0.ffn.experts.*.w1.weight",
        "layers.0.attn.q_proj.weight",
        "layers.0.ffn.experts.01.w1.weight",
    ):
        assert published_name(name) is None
    assert (
        published_name("layers.3.ffn.experts.17.w2.scale") == "model.layers.3.mlp.experts.17.down_proj.weight_scale_inv"
    )

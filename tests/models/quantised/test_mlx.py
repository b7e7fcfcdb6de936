"""Folders of mlx-lm: experts stacked in one tensor, groups of single modules, and against what MLX makes of them.

`make quantised` installs MLX, which runs on any processor.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.analysis.diff.made import trace_of
from tests.models.hf_files import LLAMA, change_config, expected_logits, saved
from tests.models.quantised.folders import with_weights
from tests.models.quantised.packing import Tensors, mlx
from tracetui.analysis.diff.report import report
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

IDS = [5, 17, 3, 99, 42]
_MIXTRAL = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}


def stacked(plain: Path, folder: Path) -> tuple[Path, Tensors]:
    """A folder of experts as mlx-lm writes it, and the weights that it means."""
    meant = load_file(plain / "model.safetensors")
    stored: Tensors = {}
    experts: dict[str, list[Tensors]] = {}
    for name, weight in meant.items():
        if ".experts." not in name:
            stored[name] = weight
            continue
        packed, meant[name] = mlx(4)(weight)
        block, _, rest = name.partition(".experts.")
        matrix = {w: own for own, w in _MIXTRAL.items()}.get(rest.split(".")[1], rest.split(".")[1])
        experts.setdefault(f"{block}.switch_mlp.{matrix}", []).append(packed)
    for name, each in experts.items():
        stored |= {f"{name}.{end}": torch.stack([part[end] for part in each]) for end in each[0]}
    save_file(stored, with_weights(plain, folder, {}) / "model.safetensors", {"format": "mlx"})
    return change_config(folder, quantization={"group_size": 32, "bits": 4}), meant


@pytest.mark.parametrize("family", ["mixtral", "qwen2_moe"])
def test_stacked_experts_are_those_of_the_model(tmp_path: Path, family: str) -> None:
    plain = saved(tmp_path / "plain", family, num_hidden_layers=1, moe_intermediate_size=32)
    folder, meant = stacked(plain, tmp_path / "q")
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32"), ids=IDS)
    expected = expected_logits(with_weights(plain, tmp_path / "meant", meant), IDS).numpy()
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    assert [note for note in trace.run.notes if "quantization" in note or "read over" in note] == []


def test_a_module_may_have_groups_of_its_own(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", num_hidden_layers=1, hidden_size=64)
    name = "model.layers.0.self_attn.o_proj"
    weights = load_file(plain / "model.safetensors")
    packed, meant = mlx(8, 64)(weights[f"{name}.weight"])
    stored = {key: weight for key, weight in weights.items() if key != f"{name}.weight"}
    folder = with_weights(plain, tmp_path / "q", stored | {f"{name}.{end}": part for end, part in packed.items()})
    own = {name: {"group_size": 64, "bits": 8}, "lm_head": False}
    change_config(folder, quantization={"group_size": 32, "bits": 4, **own})
    made = make_runnable(load_recipe(str(folder)))
    (slot,) = (slot for _, slot in made.weights.all_slots() if slot.spec.name == f"{name}.weight")
    assert slot.provenance == "dequantised MLX 8 bits"
    assert torch.equal(made.weights.source.read(slot.spec, None, lambda made: None), meant.to(slot.spec.dtype))


@pytest.mark.parametrize(
    ("family", "quantization", "problem"),
    [
        ("llama", {"group_size": 32, "bits": 4, "mode": "mxfp4"}, "the weights are quantised, MLX mxfp4; tracetui"),
        ("gemma", {"group_size": 32, "bits": 4}, "MLX, of gemma, whose tensors mlx-lm may have changed; tracetui"),
        ("llama", {"group_size": 48, "bits": 4}, "must hold 96 numbers of 2, 3, 4, 5, 6 or 8 bits in a row, 2 groups"),
        ("llama", {"group_size": "all", "bits": 4}, "quantization.group_size: must be an integer, got 'all'"),
    ],
)
def test_what_cannot_be_read_is_refused(
    tmp_path: Path, family: str, quantization: Mapping[str, object], problem: str
) -> None:
    plain = saved(tmp_path / "plain", family, **{**LLAMA, "num_hidden_layers": 1})
    name = "model.layers.0.self_attn.q_proj"
    weights = load_file(plain / "model.safetensors")
    packed, _ = mlx(4)(weights.pop(f"{name}.weight"))
    folder = with_weights(plain, tmp_path / "q", weights | {f"{name}.{end}": part for end, part in packed.items()})
    change_config(folder, quantization=dict(quantization))
    with pytest.raises(InputError) as error:
        make_runnable(load_recipe(str(folder)))
    assert problem in str(error.value)


_WIDE: Mapping[str, Any] = {**LLAMA, "intermediate_size": 128, "head_dim": 16, "pad_token_id": 0}
_MOE: Mapping[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 64}
_OF_MLX: Mapping[str, Mapping[str, Any]] = {
    **{
        family: {}
        for family in (
            *("llama", "qwen2", "qwen3", "phi", "phi3", "olmo2", "smollm3", "seed_oss", "ernie4_5", "cohere", "helium"),
            *("hunyuan_v1_dense", "stablelm", "nemotron"),
        )
    },
    "mistral": {"sliding_window": None},
    "gemma2": {"query_pre_attn_scalar": 16, "sliding_window": 64},
    "gemma3_text": {"query_pre_attn_scalar": 16, "sliding_window": 64, "num_hidden_layers": 6},
    "granite": {"attention_multiplier": 0.25, "embedding_multiplier": 12.0, "logits_scaling": 8.0},
    "glm4": {
        "attention_bias": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
    },
    "cohere2": {"sliding_window": 64, "num_hidden_layers": 4},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**_MOE, "num_experts": 4, "shared_expert_intermediate_size": 64},
    "qwen3_moe": {**_MOE, "num_experts": 4, "norm_topk_prob": True},
}


@pytest.mark.parametrize("family", _OF_MLX)
def test_logits_are_those_of_mlx(tmp_path: Path, family: str) -> None:
    pytest.importorskip("mlx_lm", reason="MLX isn't there: make quantised")
    utils: Any = importlib.import_module("mlx_lm.utils")
    mx: Any = importlib.import_module("mlx.core")
    folder = saved(tmp_path / "m", family, **{**_WIDE, **_OF_MLX[family]})
    _name_as_published(folder)
    model, config = utils.quantize_model(*utils.load_model(folder), 64, 4)
    (tmp_path / "q").mkdir()
    utils.save_model(tmp_path / "q", model, donate_model=False)
    utils.save_config(config, tmp_path / "q" / "config.json")
    expected = np.array(model(mx.array([IDS])).astype(mx.float32))[0]  # [T,V]
    logits = trace_recipe(with_options(load_recipe(str(tmp_path / "q")), dtype="float32"), ids=IDS)["logits"][0]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=5e-6 * float(np.abs(expected).max()))


def _name_as_published(folder: Path) -> None:
    """Fields as configurations had them before transformers 5, which mlx-lm reads."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.get("rope_parameters") or {}
    full = rope.get("full_attention", rope)
    fields = {name: full[name] for name in ("rope_theta", "partial_rotary_factor") if name in full}
    if "sliding_attention" in rope:
        fields |= {"rope_local_base_freq": rope["sliding_attention"]["rope_theta"], "sliding_window_pattern": 6}
    if (count := config.get("num_local_experts")) is not None and "num_experts" not in config:
        fields |= {"num_experts": count, "decoder_sparse_step": 1, "mlp_only_layers": []}
    change_config(folder, **fields)


@pytest.mark.parametrize("count", [5, 40])
@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])
def test_a_dump_of_mlx_is_compared_expert_by_expert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, count: int
) -> None:
    """By the script of docs/mlx.md; from 64 choices on, MLX sorts an expert's rows together."""
    pytest.importorskip("mlx_lm", reason="MLX isn't there: make quantised")
    mx: Any = importlib.import_module("mlx.core")
    folder = saved(tmp_path / "m", family, **{**_WIDE, **_OF_MLX[family]})
    _name_as_published(folder)
    model, _ = importlib.import_module("mlx_lm.utils").load_model(folder)
    for kind in {type(module) for module in model.modules()}:
        monkeypatch.setattr(kind, "__call__", kind.__call__)
    script = (Path(__file__).parents[3] / "docs" / "mlx.md").read_text().split("```python\n")[1]
    names: dict[str, Any] = {}
    exec(script.partition("\nfolder, path")[0], names)
    names["record"](model)
    ids = [(7 * at * at + 5 * at + 3) % 90 + 2 for at in range(count)]
    model(mx.array([ids]))
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32"), ids=ids)
    found = report(trace_of(names["arrays"], dump=True), trace)
    assert found.comparison.same
    experts = {record.key for record in trace.records if record.role in ("", "tokens") and ".experts." in record.site}
    assert experts | {f"model.layers.{layer}.mlp:experts" for layer in range(2)} <= {
        site.pair.b.record.key for site in found.comparison.sites
    }

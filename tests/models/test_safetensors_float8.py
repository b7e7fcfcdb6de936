"""Float8 weights with one scale for a tensor or a row, in the forms in which models are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import change_config, expected_logits, saved
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

IDS = [5, 17, 3, 99, 42]
EIGHT_BITS = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False}


def compressed(strategy: str, **more: Any) -> Mapping[str, Any]:
    weights = {**EIGHT_BITS, "strategy": strategy, **more}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}
    return {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": groups}


PUBLISHED: Mapping[str, tuple[Mapping[str, Any], str, str]] = {
    "compressed-tensors, tensor": (compressed("tensor"), "_scale", "tensor"),
    "compressed-tensors, channel": (compressed("channel"), "_scale", "channel"),
    "compressed-tensors, block": (compressed("block", block_structure=[32, 48]), "_scale", "block"),
    "fp8, static": ({"quant_method": "fp8", "activation_scheme": "static"}, "_scale", "tensor"),
    "fp8, inv": ({"quant_method": "fp8", "weight_block_size": None}, "_scale_inv", "number"),
    "fbgemm": ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "_scale", "channel"),
    "modelopt": ({"quant_method": "modelopt", "quant_algo": "FP8"}, "_scale", "number"),
    "modelopt, rows": ({"quant_method": "modelopt", "quant_algo": "FP8_PER_CHANNEL_PER_TOKEN"}, "_scale", "rows"),
    "by its tensors alone": ({}, "_scale", "tensor"),
}


def scale_of(weight: torch.Tensor, strategy: str) -> torch.Tensor:
    """Of a matrix [O,I] one number, one for each row, or one for each block of 32 × 48."""
    rows = weight.abs().amax(dim=1, keepdim=True) / 448  # [O,1]
    if strategy == "block":
        padded = torch.nn.functional.pad(weight.abs(), (0, -weight.shape[1] % 48, 0, -weight.shape[0] % 32))
        return padded.view(padded.shape[0] // 32, 32, -1, 48).amax(dim=(1, 3)) / 448
    return {"channel": rows, "rows": rows.flatten(), "number": rows.max(), "tensor": rows.max().reshape(1)}[strategy]


def widened(scale: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """The scale of each element [O,I]."""
    if scale.dim() == 2 and scale.shape[1] > 1:
        return scale.repeat_interleave(32, 0).repeat_interleave(48, 1)[: shape[0], : shape[1]]
    return (scale.unsqueeze(1) if scale.shape == shape[:1] else scale).expand(shape)


def quantised(folder: Path, form: str, family: str = "llama") -> tuple[Path, dict[str, torch.Tensor]]:
    """A folder in a published form, and the weights that it stands for."""
    method, suffix, strategy = PUBLISHED[form]
    path = saved(folder, family) / "model.safetensors"
    plain = {name: tensor.clone() for name, tensor in load_file(path).items()}
    stored = {}
    for name, tensor in list(plain.items()):
        if not name.endswith("_proj.weight"):
            stored[name] = tensor
            continue
        scale = scale_of(tensor, strategy)
        weight = (tensor / widened(scale, tensor.shape)).to(torch.float8_e4m3fn)  # [O,I]
        stored |= {name: weight, name + suffix: scale, name.replace(".weight", ".input_scale"): torch.ones(1)}
        plain[name] = weight.float() * widened(scale, tensor.shape)
    save_file(stored, path)
    return change_config(folder, quantization_config=dict(method) or None), plain


@pytest.mark.parametrize("form", PUBLISHED)
def test_a_published_float8_folder_runs_as_the_weights_that_it_stands_for(tmp_path: Path, form: str) -> None:
    folder, meant = quantised(tmp_path / "fp8", form)
    plain = saved(tmp_path / "plain")
    save_file(meant, plain / "model.safetensors", {"format": "pt"})
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32", memory="1"), ids=IDS)
    np.testing.assert_allclose(trace["logits"], expected_logits(plain, IDS).numpy(), rtol=0, atol=1e-5)
    assert {record.provenance for record in trace.records} == {"file", "dequantised float8", ""}
    assert trace.run.notes[0] == f"model.safetensors: all {len(meant)} tensors from the file"
    assert trace.run.notes[1:3] == (
        "model.safetensors: dequantised: 21 from float8",
        "model.safetensors: input_scale not used: activations are not rounded",
    )


def test_each_expert_has_scales_of_its_own(tmp_path: Path) -> None:
    folder, meant = quantised(tmp_path / "fp8", "compressed-tensors, channel", "qwen2_moe")
    plain = saved(tmp_path / "plain", "qwen2_moe")
    save_file(meant, plain / "model.safetensors", {"format": "pt"})
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32", memory="1"), ids=IDS)
    np.testing.assert_allclose(trace["logits"], expected_logits(plain, IDS).numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(96, 2), (64,), (2, 64), (96, 1, 1)])
def test_scales_of_a_shape_that_says_nothing_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    folder, _ = quantised(tmp_path / "m", "fbgemm")
    path = folder / "model.safetensors"
    name = "model.layers.1.mlp.gate_proj.weight_scale"
    save_file({**load_file(path), name: torch.ones(shape)}, path)
    with pytest.raises(InputError) as error:
        make_runnable(load_recipe(str(folder)))
    assert str(error.value).startswith(f"{path}: {name}: must be one number, or one for each row; ")

"""Weights of every published form, against what the format's own package, or its layout written out, makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from tests.models.hf_files import change_config, expected_logits, saved
from tests.models.quantised.folders import quantised, with_weights
from tests.models.quantised.packing import FORMS, Published, Tensors, gptq
from tests.models.test_safetensors_checkpoint import opened, silent, spec
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.models.weights.sources import TensorSpec
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

IDS = [5, 17, 3, 99, 42]
MATRICES = ("model.layers.0.mlp.down_proj.weight", "model.layers.0.self_attn.k_proj.weight")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain") / "m", num_hidden_layers=1)


def specs(weights: Tensors) -> list[TensorSpec]:
    return [spec(name, tuple(weight.shape)) for name, weight in weights.items()]


@pytest.mark.parametrize("name", FORMS)
def test_a_weight_is_to_the_bit_what_its_form_means(plain: Path, tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    folder, meant = quantised(plain, tmp_path / "q", form)
    checkpoint = opened(folder)
    for matrix in MATRICES:
        weight = meant[matrix]
        wanted = spec(matrix, tuple(weight.shape))
        assert (checkpoint.provenance(wanted) or "").startswith("dequantised ")
        made = checkpoint.read(wanted, None, silent)
        # What a package makes in fewer bits is what it makes in float32, rounded.
        assert torch.equal(made.to(weight.dtype), weight)
        assert torch.equal(
            checkpoint.read(spec(matrix, tuple(weight.shape), torch.bfloat16), None, silent), made.bfloat16()
        )
        rows = [17, 0, 3, 3]
        assert torch.equal(checkpoint.read(wanted, rows, silent), made[rows])
    assert f"model.safetensors: dequantised: 7 from {form.label}" in checkpoint.report(specs(meant))


@pytest.mark.parametrize(
    "name", ["gptq, activation order", "awq", "int4, group, not symmetric", "modelopt nvfp4", "nf4, nested"]
)
def test_a_quantised_folder_runs_as_the_weights_that_it_means(plain: Path, tmp_path: Path, name: str) -> None:
    folder, meant = quantised(plain, tmp_path / "q", FORMS[name])
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32", memory="1"), ids=IDS)
    expected = expected_logits(with_weights(plain, tmp_path / "w", {n: w.float() for n, w in meant.items()}), IDS)
    np.testing.assert_allclose(trace["logits"], expected.numpy(), rtol=0, atol=2e-5)
    kinds = {record.provenance for record in trace.records}
    (form,) = kinds - {"file", ""}
    assert f"dequantised: 7 from {form.removeprefix('dequantised ')}" in trace.run.notes[1].replace(",", "")


@pytest.mark.parametrize("name", ["gptq, 4 bits", "int4, group, symmetric", "nf4"])
def test_experts_of_one_file_tensor_each_come_together(tmp_path: Path, name: str) -> None:
    whole = saved(
        tmp_path / "plain", "qwen2_moe", num_hidden_layers=1, moe_intermediate_size=24 if name == "gptq, 4 bits" else 32
    )
    folder, meant = quantised(whole, tmp_path / "q", FORMS[name])
    assert any(".experts.3.up_proj.weight" in name for name in meant)
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32", memory="1"), ids=IDS)
    expected = expected_logits(with_weights(whole, tmp_path / "w", meant), IDS).numpy()
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=2e-5)


def test_layers_of_other_bits_and_modules_left_out_stand_beside_each_other(plain: Path, tmp_path: Path) -> None:
    folder, meant = quantised(plain, tmp_path / "q", FORMS["gptq, 4 bits"], lambda name: "self_attn" in name)
    path = folder / "model.safetensors"
    stored = load_file(path)
    for bits, module in ((8, "model.layers.0.mlp.up_proj"), (2, "lm_head")):
        tensors, meant[f"{module}.weight"] = gptq(bits, 32)(meant[f"{module}.weight"])
        del stored[f"{module}.weight"]
        stored |= {f"{module}.{end}": tensor.contiguous() for end, tensor in tensors.items()}
    save_file(stored, path)
    checkpoint = opened(folder)
    for name, weight in meant.items():
        assert torch.equal(checkpoint.read(spec(name, tuple(weight.shape)), None, silent), weight)
    said = checkpoint.report(specs(meant))
    assert "model.safetensors: dequantised: 4 from GPTQ, 4 bits; 1 from GPTQ, 2 bits; 1 from GPTQ, 8 bits" in said


def test_a_folder_as_autogptq_wrote_it_runs(plain: Path, tmp_path: Path) -> None:
    folder, meant = quantised(plain, tmp_path / "q", FORMS["gptq, beside"])
    path = folder / "model.safetensors"
    # It gave every module a bias, of zeros where the model has none.
    zeros = {name.replace("weight", "bias"): torch.zeros(len(w)) for name, w in meant.items() if "proj" in name}
    save_file(load_file(path) | zeros, folder / "gptq_model-4bit-32g.safetensors")
    path.unlink()
    made = make_runnable(load_recipe(str(folder)))
    assert made.notes[:2] == (
        "gptq_model-4bit-32g.safetensors: all 12 tensors from the file",
        "gptq_model-4bit-32g.safetensors: dequantised: 7 from GPTQ, 4 bits",
    )


def test_the_text_model_of_a_quantised_whole_is_found(tmp_path: Path) -> None:
    whole = saved(tmp_path / "plain", "gemma3_text", num_hidden_layers=1)
    folder, meant = quantised(whole, tmp_path / "q", FORMS["int4, group, symmetric"])
    path = folder / "model.safetensors"
    inner = {name.replace("model.", "language_model.model.", 1): t for name, t in load_file(path).items()}
    save_file(inner | {"vision_tower.layers.0.q_proj.weight": torch.ones(8, 8)}, path)
    checkpoint = opened(folder)
    for wanted in specs(meant):
        assert torch.equal(checkpoint.read(wanted, None, silent), meant[wanted.name])


def test_matrices_that_a_module_holds_turned_are_turned(tmp_path: Path) -> None:
    whole = saved(tmp_path / "plain", "gpt2", n_layer=1)
    stored: Tensors = {}
    meant = load_file(whole / "model.safetensors")
    for name, weight in list(meant.items()):
        if weight.dim() == 2 and ".h." in name:
            tensors, made = FORMS["nf4"].pack(weight.t().contiguous())
            meant[name] = made.t().contiguous()
            stored |= {name.removesuffix("weight") + end: tensor for end, tensor in tensors.items()}
        else:
            stored[name] = weight
    folder = change_config(with_weights(whole, tmp_path / "q", stored), quantization_config=dict(FORMS["nf4"].config))
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32"), ids=IDS)
    expected = expected_logits(with_weights(whole, tmp_path / "w", meant), IDS).numpy()
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=2e-5)


def test_gpt_oss_in_its_published_form_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    whole = saved(tmp_path / "plain", "gpt_oss", num_hidden_layers=1)
    stored = load_file(whole / "model.safetensors")
    meant = dict(stored)
    generator = torch.Generator().manual_seed(5)
    for name in [name for name in stored if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = stored.pop(name).shape
        blocks = torch.randint(0, 256, (experts, outputs, inputs // 32, 16), dtype=torch.uint8, generator=generator)
        scales = torch.randint(121, 125, (experts, outputs, inputs // 32), dtype=torch.uint8, generator=generator)
        stored |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        meant[name] = convert_moe_packed_tensors(blocks, scales).float().contiguous()
    folder = with_weights(whole, tmp_path / "q", stored)
    change_config(folder, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})
    checkpoint = opened(folder)
    for name in (name for name in meant if name.endswith("_proj") and "experts" in name):
        assert torch.equal(checkpoint.read(spec(name, tuple(meant[name].shape)), None, silent), meant[name])
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32", memory="1"), ids=IDS)
    expected = expected_logits(with_weights(whole, tmp_path / "w", meant), IDS).numpy()
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=2e-5 * float(np.abs(expected).max()))


def test_what_is_said_of_rounding_besides_weights_is_told(plain: Path, tmp_path: Path) -> None:
    activations = {"num_bits": 8, "type": "float", "dynamic": True}
    form = FORMS["float8, channel"]
    groups = {"group_0": {**form.config["config_groups"]["group_0"], "input_activations": activations}}
    config = {**form.config, "config_groups": groups, "kv_cache_scheme": {"num_bits": 8, "type": "float"}}
    folder, _ = quantised(plain, tmp_path / "q", Published(form.pack, config, form.label))
    path = folder / "model.safetensors"
    scales = {
        f"model.layers.0.self_attn.{name}": torch.ones(1) for name in ("k_scale", "v_scale", "q_proj.input_scale")
    }
    save_file(load_file(path) | scales, path)
    assert make_runnable(load_recipe(str(folder))).notes[1:5] == (
        "model.safetensors: dequantised: 7 from float8",
        "model.safetensors: input_scale not used: activations are not rounded",
        "model.safetensors: k_scale, v_scale not used: queries, keys and values are not rounded",
        "model.safetensors: what quantised modules are given is not rounded, as the form has it: 8-bit float",
    )


@pytest.mark.parametrize(
    ("form", "config", "is_told"),
    [
        ("float8, channel", {"quant_method": "fp8", "activation_scheme": "dynamic"}, True),
        ("float8, channel", {"quant_method": "fbgemm_fp8"}, True),
        ("bitsandbytes int8", {"quant_method": "bitsandbytes", "load_in_8bit": True}, True),
        ("nf4", {"quant_method": "bitsandbytes", "load_in_4bit": True}, False),
    ],
)
def test_methods_that_round_what_a_module_is_given_are_told_to(
    plain: Path, tmp_path: Path, form: str, config: dict[str, object], is_told: bool
) -> None:
    packed = FORMS[form]
    folder, _ = quantised(
        plain, tmp_path / "q", Published(packed.pack, config, packed.label), lambda name: "down_proj" in name
    )
    notes = make_runnable(load_recipe(str(folder))).notes
    assert any("what quantised modules are given is not rounded" in note for note in notes) is is_told


def test_float8_of_several_sizes_of_block_is_read_where_it_is_certain_which(plain: Path, tmp_path: Path) -> None:
    mx = FORMS["mxfp8"]
    groups = {
        "blocks": {"weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [32, 32]}},
        "groups": {"weights": {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [1, 32]}},
    }
    form = Published(mx.pack, {**mx.config, "config_groups": groups}, mx.label)
    folder, meant = quantised(plain, tmp_path / "q", form, lambda name: "up_proj" in name)
    name = "model.layers.0.mlp.up_proj.weight"
    weight = meant[name]
    made = opened(folder).read(spec(name, tuple(weight.shape)), None, silent)
    assert torch.equal(made.to(weight.dtype), weight)
    # Of 64 columns 32 make two blocks, and so do 40.
    groups["blocks"]["weights"]["block_structure"] = [1, 40]
    change_config(folder, quantization_config={**mx.config, "config_groups": groups})
    with pytest.raises(
        InputError, match=r"weight_scale: must be of one size of block, and fits those of 1 × 40 and 1 × 32"
    ):
        opened(folder)


@pytest.mark.parametrize(
    "targets",
    [
        (["Linear"], [r"re:.*up_proj"]),
        ([r"re:.*proj$"], [f"model.layers.{layer}.mlp.up_proj" for layer in range(3)]),
        (["re:.*down_proj", "re:(.+)+x"], ["Linear"]),
    ],
)
def test_the_targets_of_a_configuration_tell_which_of_two_blocks_is_of_a_weight(
    plain: Path, tmp_path: Path, targets: tuple[list[str], list[str]]
) -> None:
    mx, weights = FORMS["mxfp8"], {"num_bits": 8, "type": "float", "strategy": "block"}
    sizes = ([1, 40], [1, 32])
    groups = {
        str(size): {"weights": {**weights, "block_structure": size}, "targets": named}
        for size, named in zip(sizes, targets, strict=True)
    }
    form = Published(mx.pack, {**mx.config, "config_groups": groups}, mx.label)
    folder, meant = quantised(plain, tmp_path / "q", form, lambda name: "up_proj" in name)
    name = "model.layers.0.mlp.up_proj.weight"
    made = opened(folder).read(spec(name, tuple(meant[name].shape)), None, silent)
    assert torch.equal(made.to(meant[name].dtype), meant[name])


def test_awq_is_told_from_gptq_by_its_shapes_where_nothing_says_it(plain: Path, tmp_path: Path) -> None:
    folder, meant = quantised(plain, tmp_path / "q", FORMS["awq"])
    change_config(folder, quantization_config=None)
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(opened(folder).read(spec(name, tuple(meant[name].shape)), None, silent), meant[name])
    change_config(folder, quantization_config=dict(FORMS["gptq, 4 bits"].config))
    with pytest.raises(InputError, match=r"qweight: is laid out as AWQ's gemm, and the configuration says gptq"):
        opened(folder)

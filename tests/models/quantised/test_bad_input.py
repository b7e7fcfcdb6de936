"""Quantised files that don't fit together: each refused with place and reason, before a number is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import LLAMA, change_config, saved
from tests.models.quantised.folders import quantised
from tests.models.quantised.packing import FORMS, Tensors
from tests.models.test_safetensors_checkpoint import opened, silent, spec
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.tracer.run import trace_recipe

MODULE = "model.layers.0.mlp.down_proj"
I32, U8, I64 = torch.int32, torch.uint8, torch.int64


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain") / "m", num_hidden_layers=1)


@pytest.fixture(scope="module")
def folder_of(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Tensors]]:
    """A folder of each form, made once, and its tensors."""
    made: dict[str, tuple[Path, Tensors]] = {}

    def make(name: str) -> tuple[Path, Tensors]:
        if name not in made:
            folder, _ = quantised(plain, tmp_path_factory.mktemp("q") / "m", FORMS[name], lambda name: MODULE in name)
            made[name] = folder, load_file(folder / "model.safetensors")
        return made[name]

    return make


def written(source: tuple[Path, Tensors], folder: Path, changes: Mapping[str, torch.Tensor | None]) -> Path:
    """The folder with tensors of one module changed, or left out where they are None."""
    folder.mkdir()
    for file in source[0].glob("*.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = source[1] | {f"{MODULE}.{end}": tensor for end, tensor in changes.items() if tensor is not None}
    gone = {f"{MODULE}.{end}" for end, tensor in changes.items() if tensor is None}
    save_file({name: tensor for name, tensor in tensors.items() if name not in gone}, folder / "model.safetensors")
    return folder


def state(**changes: object) -> torch.Tensor:
    """What bitsandbytes says of a weight, with fields changed."""
    fields = {"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [64, 96], **changes}
    return torch.tensor(list(json.dumps(fields).encode()), dtype=U8)


STATE = "weight.quant_state.bitsandbytes__nf4"
MISFITS: list[tuple[str, dict[str, torch.Tensor | None], str]] = [
    ("gptq, 4 bits", {"qzeros": None}, "qweight: is of GPTQ, which means nothing without its scales: "),
    ("gptq, 4 bits", {"scales": torch.ones(3, 60)}, "scales: must be of the shape [3, 64], got [3, 60]"),
    ("gptq, 4 bits", {"scales": torch.ones(3, 64, dtype=I32)}, "scales: must be float32 or bfloat16 or float16"),
    ("gptq, 4 bits", {"qzeros": torch.zeros(2, 8, dtype=I32)}, "qzeros: must be of the shape [3, 8], got [2, 8]"),
    ("gptq, 4 bits", {"qzeros": torch.zeros(3, 10, dtype=I32)}, "qzeros: must hold a number of 2, 3, 4 or 8 bits"),
    ("gptq, 4 bits", {"g_idx": torch.zeros(95, dtype=I32)}, "g_idx: must be of the shape [96], got [95]"),
    ("gptq, 4 bits", {"qweight": torch.zeros(0, 64, dtype=I32)}, "qweight: must be a matrix with elements"),
    ("gptq, 4 bits", {"qweight": torch.zeros(64, dtype=I32)}, "qweight: must be a matrix with elements, got [64]"),
    ("gptq, 4 bits", {"qweight": torch.zeros(12, 64)}, "qweight: must be int32, got 'float32'"),
    ("gptq, 4 bits", {"qweight": torch.zeros(16, 64, dtype=I32), "g_idx": None}, "scales: must have scales for each"),
    ("gptq, 4 bits", {"weight": torch.ones(64, 96)}, "qweight: stands there beside the same weight in another form"),
    ("awq", {"scales": torch.ones(3, 60)}, "scales: must be of the shape [3, 64], got [3, 60]"),
    ("awq", {"qzeros": torch.zeros(3, 9, dtype=I32)}, "qzeros: must be of the shape [3, 8], got [3, 9]"),
    ("awq, gemv", {"qzeros": torch.zeros(64, 0, dtype=I32)}, "qzeros: must be a matrix with elements"),
    ("awq, gemv", {"scales": torch.ones(64, 3)}, "scales: must be of the shape [64, 32], got [64, 3]"),
    ("int4, group, symmetric", {"weight_shape": torch.tensor([2**40, 96])}, "weight_shape: must be the rows and colu"),
    ("int4, group, symmetric", {"weight_shape": torch.tensor([64, -96])}, "weight_shape: must be the rows and columns"),
    ("int4, group, symmetric", {"weight_shape": torch.tensor([64, 960])}, "weight_packed: must hold a matrix of [64, "),
    ("int4, group, symmetric", {"weight_shape": torch.ones(70_000, dtype=I64)}, "weight_shape: must be of at most 65"),
    ("int4, group, symmetric", {"weight_shape": None}, "weight_packed: is of compressed-tensors, which means nothing"),
    ("int4, group, symmetric", {"weight_scale": torch.ones(64, 7)}, "weight_scale: must have scales for each group of"),
    ("int4, group, symmetric", {"weight_scale": torch.ones(63)}, "weight_scale: must be one number, or one for each "),
    ("int4, group, not symmetric", {"weight_zero_point": None}, "weight_scale: is of weights that have zero points"),
    ("int4, group, not symmetric", {"weight_zero_point": torch.zeros(8, 2, dtype=I32)}, "weight_zero_point: must be "),
    ("int8 of bytes, channel", {"weight_scale": torch.ones(5)}, "weight_scale: must be one number, or one for each "),
    ("int8 of bytes, channel", {"weight_scale": None}, "weight: the weights are quantised, int8; tracetui doesn't"),
    ("nvfp4", {"weight_scale": torch.ones(64, 5)}, "weight_scale: must be of the shape [64, 6], got [64, 5]"),
    ("nvfp4", {"weight_packed": torch.zeros(64, 47, dtype=U8)}, "weight_packed: must have a multiple of 8 bytes in a"),
    ("modelopt nvfp4", {"weight_scale_2": torch.ones(2)}, "weight_scale_2: must be of the shape [] or [1], got [2]"),
    ("nf4", {STATE: state(shape=[2**40, 2**40])}, f"{STATE}: shape: must be the rows and columns of a matrix"),
    ("nf4", {STATE: state(shape=[64, 98])}, "weight: must be of 3,136 bytes, two numbers of [64, 98] in each"),
    ("nf4", {STATE: state(shape=[128, 47])}, f"{STATE}: shape: rows must be of an even length"),
    ("nf4", {STATE: state(blocksize=0)}, f"{STATE}: blocksize: must be between 1 and"),
    ("nf4", {STATE: state(blocksize=32)}, "weight.absmax: must be of the shape [192] or [192, 1], got [96]"),
    ("nf4", {STATE: state(quant_type="fp4")}, f"{STATE}: quant_type: must be as the tensor's own name says, got 'fp4'"),
    ("nf4", {STATE: torch.tensor([123], dtype=U8)}, f"{STATE}: line 1: is not JSON"),
    ("nf4", {"weight.quant_map": torch.ones(15)}, "weight.quant_map: must be of the shape [16], got [15]"),
    ("nf4, nested", {"weight.nested_absmax": torch.ones(5)}, "weight.nested_absmax: must be of the shape [6], got [5]"),
    ("nf4, nested", {"weight.nested_quant_map": None}, "weight.nested_absmax: means nothing without nested_quant_map"),
    ("nf4, nested", {STATE: state(nested_offset=0.1)}, f"{STATE}: nested_blocksize: is missing, an integer is needed"),
    ("nf4, nested", {STATE: state(nested_blocksize=16)}, f"{STATE}: nested_offset: must be a number"),
    ("bitsandbytes int8", {"SCB": torch.ones(60)}, "SCB: must be of the shape [64] or [64, 1], got [60]"),
    ("bitsandbytes int8", {"weight_format": torch.tensor(2, dtype=U8)}, "weight_format: must be 0, for rows one after"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "changes", "problem"), MISFITS)
def test_tensors_that_do_not_fit_together_are_refused(
    folder_of: Callable[[str], tuple[Path, Tensors]],
    tmp_path: Path,
    form: str,
    changes: dict[str, torch.Tensor | None],
    problem: str,
) -> None:
    folder = written(folder_of(form), tmp_path / "m", changes)
    with pytest.raises(InputError) as error:
        make_runnable(load_recipe(str(folder)))
    assert str(error.value).startswith(f"{folder / 'model.safetensors'}: {MODULE}.{problem}")


NAN, FAR = float("nan"), torch.full((96,), 9, dtype=I32)
NO_SCALES: list[tuple[str, dict[str, torch.Tensor | None], str]] = [
    ("gptq, 4 bits", {"scales": torch.full((3, 64), NAN)}, "scales: must be of finite scales, got 'nan at [0, 0]'"),
    ("gptq, 4 bits", {"g_idx": FAR}, "g_idx: must name groups from 0 to 2, got [9, 9]"),
    ("awq", {"scales": torch.full((3, 64), torch.inf)}, "scales: must be of finite scales, got 'inf at [0, 0]'"),
    ("int4, group, symmetric", {"weight_scale": torch.full((64, 3), NAN)}, "weight_scale: must be of finite scales"),
    ("float8, channel", {"weight_scale": torch.full((64, 1), NAN)}, "weight_scale: must be of finite scales, got 'nan"),
    ("mxfp8", {"weight_scale": torch.full((64, 3), 255, dtype=U8)}, "weight_scale: must be of finite scales, got 'nan"),
    ("nvfp4", {"weight_global_scale": torch.zeros(1)}, "weight_global_scale: must be of finite scales, got 'inf at"),
    ("nf4, nested", {"weight.nested_absmax": torch.full((6,), NAN)}, "weight.nested_absmax: must be of finite scales"),
    ("bitsandbytes int8", {"SCB": torch.full((64,), NAN)}, "SCB: must be of finite scales, got 'nan at [0]'"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "changes", "problem"), NO_SCALES)
def test_scales_that_are_no_numbers_are_refused_when_they_are_read(
    folder_of: Callable[[str], tuple[Path, Tensors]],
    tmp_path: Path,
    form: str,
    changes: dict[str, torch.Tensor | None],
    problem: str,
) -> None:
    folder = written(folder_of(form), tmp_path / "m", changes)
    with pytest.raises(InputError) as error:
        opened(folder).read(spec(f"{MODULE}.weight", (64, 96)), None, silent)
    assert str(error.value).startswith(f"{folder / 'model.safetensors'}: {MODULE}.{problem}")


def test_a_run_ends_with_the_scale_that_is_no_number(
    folder_of: Callable[[str], tuple[Path, Tensors]], tmp_path: Path
) -> None:
    folder = written(folder_of("awq"), tmp_path / "m", {"scales": torch.full((3, 64), NAN)})
    with pytest.raises(InputError, match=rf"{MODULE}.scales: must be of finite scales, got 'nan at \[0, 0\]'"):
        trace_recipe(load_recipe(str(folder)), ids=[5, 17])


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"quant_method": "gptq", "checkpoint_format": "marlin"}, "the weights are quantised, gptq marlin; tracetui"),
        ({"quant_method": "gptq", "is_marlin_format": True}, "the weights are quantised, gptq; tracetui doesn't"),
        ({"quant_method": "gptq", "group_size": "all"}, "group_size: must be an integer, got 'all'"),
        ({"quant_method": "gptq", "pack_dtype": "int64"}, "pack_dtype: must be int32"),
        ({"quant_method": "awq", "version": "gemv_fast"}, "the weights are quantised, awq gemv_fast; tracetui"),
        ({"quant_method": "torchao"}, "the weights are quantised, torchao; tracetui doesn't read it"),
        ({"quant_method": "hqq"}, "the weights are quantised, hqq; tracetui doesn't read it"),
        ({"quant_method": "auto-round"}, "the weights are quantised, auto-round; tracetui doesn't read it"),
        ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}, "the weights are quantised, modelopt W4A16_AWQ; "),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "quantised, compressed-tensors marlin-24; "),
        (
            {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}},
            "sparsity_config: weights of which some are left out aren't read",
        ),
        (
            {"quant_method": "compressed-tensors", "transform_config": {"config_groups": {"R1": {}}}},
            "transform_config: weights of which inputs and outputs are turned first aren't read",
        ),
    ],
)
def test_other_methods_are_refused_by_name(
    plain: Path, tmp_path: Path, config: Mapping[str, object], problem: str
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_bytes((plain / "config.json").read_bytes())
    (folder / "model.safetensors").write_bytes((plain / "model.safetensors").read_bytes())
    change_config(folder, quantization_config=dict(config))
    with pytest.raises(InputError) as error:
        make_runnable(load_recipe(str(folder)))
    assert str(error.value).startswith(f"{folder / 'config.json'}: quantization_config")
    assert problem in str(error.value)


def test_zero_points_of_which_nothing_says_how_they_are_stored_are_not_guessed(
    folder_of: Callable[[str], tuple[Path, Tensors]], tmp_path: Path
) -> None:
    folder = written(folder_of("gptq, beside"), tmp_path / "m", {})
    (folder / "quantize_config.json").unlink()
    with pytest.raises(
        InputError, match=r"qzeros: holds zero points as they are or one less, and quantize_config.json"
    ):
        make_runnable(load_recipe(str(folder)))


def test_what_is_multiplied_besides_weights_is_not_left_out(
    folder_of: Callable[[str], tuple[Path, Tensors]], tmp_path: Path
) -> None:
    folder = written(folder_of("modelopt nvfp4"), tmp_path / "m", {"pre_quant_scale": torch.ones(96)})
    with pytest.raises(InputError, match=f"{MODULE}.pre_quant_scale: multiplies what its module is given"):
        make_runnable(load_recipe(str(folder)))


def test_a_weight_of_which_a_file_is_missing_is_random(plain: Path, tmp_path: Path) -> None:
    folder, _ = quantised(plain, tmp_path / "m", FORMS["gptq, 4 bits"], lambda name: MODULE in name)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    split = f"{MODULE}.qzeros"
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"")
    save_file({n: t for n, t in tensors.items() if n != split}, folder / "model-00001-of-00002.safetensors")
    path.unlink()
    weight_map = {name: f"model-0000{1 + (name == split)}-of-00002.safetensors" for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    made = make_runnable(load_recipe(str(folder)))
    assert "11 tensors from the file, 1 random" in made.notes[1]


@pytest.mark.parametrize("family", ["gpt_oss", "llama4_text"])
def test_experts_under_names_that_no_module_has_are_not_random(tmp_path: Path, family: str) -> None:
    plain = saved(tmp_path / "plain", family, **{**LLAMA, "num_hidden_layers": 1, "num_local_experts": 2})
    weights = load_file(plain / "model.safetensors")
    experts = [name for name in weights if ".experts." in name]
    block = experts[0].partition(".experts.")[0]
    stored = {name: weight for name, weight in weights.items() if name not in experts}
    for expert in range(2):
        for matrix in ("gate_proj", "up_proj", "down_proj"):
            packed, _ = FORMS["int4, group, symmetric"].pack(torch.randn(64, 64))
            stored |= {f"{block}.experts.{expert}.{matrix}.{end}": part for end, part in packed.items()}
    save_file(stored, plain / "model.safetensors")
    change_config(plain, quantization_config=dict(FORMS["int4, group, symmetric"].config))
    with pytest.raises(InputError, match=r"experts\.0\.\w+_proj\.weight_packed: .*compressed-tensors, 4 bits, under a"):
        make_runnable(load_recipe(str(plain)))


def test_experts_of_all_in_one_packed_tensor_are_refused(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", "gpt_oss", **{**LLAMA, "num_hidden_layers": 1, "num_local_experts": 2})
    weights = load_file(plain / "model.safetensors")
    name = next(name for name in weights if name.endswith("experts.gate_up_proj"))
    del weights[name]
    packed, _ = FORMS["int4, group, symmetric"].pack(torch.randn(64, 64))
    stacked = {end: torch.stack([part, part]) for end, part in packed.items()}
    save_file(weights | {f"{name}.{end}": part for end, part in stacked.items()}, plain / "model.safetensors")
    change_config(plain, quantization_config=dict(FORMS["int4, group, symmetric"].config))
    with pytest.raises(InputError, match=r"gate_up_proj\.weight_(packed|shape): must be "):
        make_runnable(load_recipe(str(plain)))


@pytest.mark.parametrize("numbers", [torch.float16, torch.float32])
def test_scales_of_a_weight_that_is_not_multiplied_with_them_are_refused(
    plain: Path, tmp_path: Path, numbers: torch.dtype
) -> None:
    weights = load_file(plain / "model.safetensors")
    weight = weights[f"{MODULE}.weight"]
    scale = weight.abs().amax(1, keepdim=True) / 127
    whole = {"weight": (weight / scale).round().to(numbers), "weight_scale": scale}
    folder = written((plain, weights), tmp_path / "m", whole)
    with pytest.raises(InputError, match=r"down_proj\.weight_scale: multiplies a weight that stands there as plain n"):
        opened(folder)
    as_is = written((plain, weights), tmp_path / "n", {"weight_scale": scale})
    note = "model.safetensors: weight_scale not used: weights that stand there as plain numbers are not rounded"
    assert note in make_runnable(load_recipe(str(as_is))).notes


@pytest.mark.parametrize("end", ["weight_scale", "weight_scale_inv"])
def test_scales_of_a_narrow_weight_that_nobody_multiplies_are_refused(plain: Path, tmp_path: Path, end: str) -> None:
    weights = load_file(plain / "model.safetensors")
    whole = {"weight": weights[f"{MODULE}.weight"].to(torch.float8_e5m2), end: torch.tensor(0.5)}
    with pytest.raises(
        InputError, match=rf"down_proj\.{end}: multiplies a weight in float8_e5m2: tracetui doesn't read"
    ):
        opened(written((plain, weights), tmp_path / "m", whole))


def test_scales_of_a_weight_without_numbers_leave_its_shape_to_be_refused(plain: Path, tmp_path: Path) -> None:
    weights = load_file(plain / "model.safetensors")
    rows = len(weights[f"{MODULE}.weight"])
    whole = {"weight": torch.zeros(rows, 0), "weight_scale": torch.ones(1)}
    with pytest.raises(InputError, match=rf"down_proj\.weight: must have the shape .*, got \[{rows}, 0\]"):
        make_runnable(load_recipe(str(written((plain, weights), tmp_path / "m", whole))))


def test_two_kinds_of_scales_of_one_weight_are_refused(
    folder_of: Callable[[str], tuple[Path, Tensors]], tmp_path: Path
) -> None:
    folder = written(folder_of("float8, channel"), tmp_path / "m", {"weight_scale_inv": torch.ones(64, 1)})
    with pytest.raises(InputError, match=r"weight_scale: stands there beside other scales of the same weight"):
        opened(folder)

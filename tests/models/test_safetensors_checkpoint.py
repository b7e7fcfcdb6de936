"""A Hugging Face folder as a weight source: names, rows, views, experts, float8, and what is said of how it fits."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import (
    FAMILIES,
    MOE,
    as_file,
    assert_computes,
    change_config,
    header_of,
    model_of,
    saved,
    sharded,
)
from tracetui.errors import Cancelled, InputError
from tracetui.models.build import build_model
from tracetui.models.checkpoints.safetensors.checkpoint import SafetensorsCheckpoint
from tracetui.models.checkpoints.safetensors.folder import SafetensorsFolder
from tracetui.models.outline import outline
from tracetui.models.runnable import BUILTIN_REMARK, Runnable, make_runnable
from tracetui.models.weights.sources import TensorSpec
from tracetui.recipe import Layers, Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

State = dict[str, torch.Tensor]
IDS = [5, 319, 17, 17, 0, 42, 256]
GATE = "model.layers.1.mlp.gate_proj.weight"
EXPERTS = "model.layers.1.mlp.experts.gate_up_proj"
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [32, 48]}


def opened(folder: Path) -> SafetensorsCheckpoint:
    recipe = load_recipe(str(folder))
    model = build_model(recipe, torch.float32).module
    return SafetensorsFolder(folder, recipe.config, recipe.origin).source_for(model)


def spec(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> TensorSpec:
    return TensorSpec(name, shape, dtype)


def silent(made: int) -> None:
    """Nobody watches."""


def rewritten(folder: Path, change: Mapping[str, torch.Tensor | None]) -> Path:
    """Write the one file again with tensors changed, added, or left out where they are None."""
    path = folder / "model.safetensors"
    state: dict[str, Any] = {**load_file(path), **change}
    save_file({name: tensor.clone() for name, tensor in state.items() if tensor is not None}, path)
    return folder


def moved(folder: Path, by: int) -> Path:
    """Write the one file again so that its first byte of data lies `by` bytes behind a multiple of 64."""
    path = folder / "model.safetensors"
    header = json.dumps(header_of(path)).encode()
    data = path.read_bytes()[8 + struct.unpack("<Q", path.read_bytes()[:8])[0] :]
    path.write_bytes(as_file(header + b" " * ((by - 8 - len(header)) % 64), data))
    return folder


@pytest.mark.parametrize("by", [0, 8, 40])
def test_a_tensor_lies_where_torch_would_have_put_it(tmp_path: Path, by: int) -> None:
    checkpoint = opened(moved(saved(tmp_path / "llama"), by))
    ticks: list[int] = []
    wanted = spec(GATE, (96, 64))
    first, again = checkpoint.read(wanted, None, ticks.append), checkpoint.read(wanted, None, silent)
    assert first.data_ptr() % 64 == again.data_ptr() % 64 == 0
    assert first.data_ptr() != again.data_ptr()
    assert sum(ticks) == 96 * 64 * 4
    assert torch.equal(first, model_of("llama").get_parameter(GATE))


def test_writing_into_a_view_leaves_the_file_alone(tmp_path: Path) -> None:
    checkpoint = opened(moved(saved(tmp_path / "llama"), 0))
    before = (tmp_path / "llama" / "model.safetensors").read_bytes()
    checkpoint.read(spec(GATE, (96, 64)), None, silent).fill_(7.0)
    assert (tmp_path / "llama" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [GATE, EXPERTS])
def test_rows_are_those_of_the_whole_in_every_dtype(tmp_path: Path, name: str, dtype: torch.dtype) -> None:
    family = "llama" if name == GATE else "qwen2_moe"
    checkpoint = opened(saved(tmp_path / family, family))
    plain = model_of(family).get_parameter(name)
    wanted, rows = spec(name, tuple(plain.shape), dtype), [5, 0, 3, 3]
    ticks: list[int] = []
    assert torch.equal(checkpoint.read(wanted, None, silent), plain.to(dtype))
    assert torch.equal(checkpoint.read(wanted, rows, ticks.append), plain[rows].to(dtype))
    assert sum(ticks) == 4 * plain[0].numel() * dtype.itemsize
    assert checkpoint.provenance(wanted) == "file"


def test_only_the_experts_asked_for_are_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", "qwen2_moe")
    expected = model_of("qwen2_moe").get_parameter(EXPERTS)
    gone = {
        f"model.layers.1.mlp.experts.{n}.{part}_proj.weight": torch.full((24, 64), torch.nan)
        for n in (0, 5)
        for part in ("gate", "up")
    }
    found = opened(rewritten(folder, gone)).read(spec(EXPERTS, tuple(expected.shape)), [1, 4], silent)
    assert torch.equal(found, expected[[1, 4]])


def test_a_tensor_that_lies_at_an_odd_byte_is_copied(tmp_path: Path) -> None:
    folder = saved(tmp_path / "llama")
    # Clones: what is loaded is a map of the file that is about to be written over.
    loaded = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    state = {"a": torch.tensor([1], dtype=torch.uint8), **loaded}
    header, data = {}, b""
    for name, tensor in state.items():
        raw = tensor.numpy().tobytes()
        kind = "U8" if name == "a" else "F32"
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    (folder / "model.safetensors").write_bytes(as_file(json.dumps(header).encode(), data))
    found = opened(folder).read(spec(GATE, (96, 64)), None, silent)
    assert found.data_ptr() % 4 == 0
    assert torch.equal(found, state[GATE])


def test_an_adapter_beside_the_weights_is_said_not_to_be_read(tmp_path: Path) -> None:
    folder = saved(tmp_path / "llama")
    plain = opened(folder).report([])
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert set(opened(folder).report([])) - set(plain) == {
        "adapter_config.json: the adapter beside the weights is not read: this is the model without it"
    }


def test_reading_can_be_left(tmp_path: Path) -> None:
    def cancel(made: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        opened(saved(tmp_path / "llama")).read(spec(GATE, (96, 64), torch.bfloat16), None, cancel)


@pytest.mark.parametrize(
    ("family", "change", "said"),
    [
        ("llama", {GATE: torch.zeros(64, 96)}, f"{GATE}: must have the shape [96, 64], got [64, 96]"),
        ("llama", {GATE: torch.zeros(96, 64, dtype=torch.int8)}, f"{GATE}: the weights are quantised, int8; "),
        (
            "llama",
            {GATE: torch.zeros(96, 64).to(torch.float8_e4m3fn)},
            f"{GATE}: is float8_e4m3fn, which means nothing without its scales: {GATE}_scale_inv is missing",
        ),
        (
            "qwen2_moe",
            {"model.layers.1.mlp.experts.2.up_proj.weight": torch.zeros(24, 63)},
            f"model.layers.1.mlp.experts.0.gate_proj.weight: transformers can't make {EXPERTS} of it: RuntimeError",
        ),
        (
            "qwen2_moe",
            {f"model.layers.1.mlp.experts.{n}.down_proj.weight": torch.zeros(63, 24) for n in range(6)},
            "model.layers.1.mlp.experts.0.down_proj.weight: and the 5 tensors beside it must make [6, 64, 24] of",
        ),
    ],
)
def test_another_shape_or_dtype_is_refused_by_name(
    tmp_path: Path, family: str, change: Mapping[str, torch.Tensor], said: str
) -> None:
    folder = rewritten(saved(tmp_path / "m", family), change)
    with pytest.raises(InputError) as error:
        make_runnable(load_recipe(str(folder)))
    assert str(error.value).startswith(f"{folder / 'model.safetensors'}: {said}")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("expert", [0, 3, 5])
def test_experts_of_which_one_is_missing_are_random_and_said_to_be(tmp_path: Path, expert: int) -> None:
    folder = rewritten(
        saved(tmp_path / "m", "qwen2_moe"), {f"model.layers.1.mlp.experts.{expert}.up_proj.weight": None}
    )
    made = make_runnable(load_recipe(str(folder)))
    assert {slot.spec.name for _, slot in made.weights.all_slots() if slot.provenance == "random"} == {EXPERTS}
    assert "layer 1 partly, " in made.notes[0]
    there = {0: "1–5", 3: "0–2, 4–5", 5: "0–4"}[expert]
    assert made.notes[1] == f"model.safetensors: of {EXPERTS} experts {there} from the file, the others random"
    trace = trace_recipe(load_recipe(str(folder)), ids=list(range(1, 40)))
    block = "model.layers.1.mlp.experts."
    hit = {
        record.site.removeprefix(block): record.provenance for record in trace.records if record.site.startswith(block)
    }
    kinds = {int(number): kind for number, kind in hit.items() if number.isdigit()}
    assert len(kinds) > 3
    assert kinds == {number: "file+random" if number == expert else "file" for number in kinds}
    experts = made.built.module.get_submodule(block[:-1])
    whole = make_runnable(load_recipe(str(saved(tmp_path / "whole", "qwen2_moe"))))
    of_whole = whole.weights.of_expert(whole.built.module.get_submodule(block[:-1]), 4, lambda *_: None)
    of_part = made.weights.of_expert(experts, 4, lambda *_: None)
    assert of_whole is not None
    assert of_part is not None
    assert all(torch.equal(of_part[name], of_whole[name]) for name in of_whole)


def test_the_report_names_what_no_module_asks_for(tmp_path: Path) -> None:
    extra = {name: torch.zeros(1) for name in ("\x1bra", "model.layers.7.self_attn.q_proj.weight", "z")}
    made = make_runnable(load_recipe(str(rewritten(saved(tmp_path / "llama"), extra))))
    assert made.notes == (
        "model.safetensors: all 30 tensors from the file",
        "model.safetensors: read over, no module asks for ␛ra, model.layers.7.self_attn.q_proj.weight, z",
        BUILTIN_REMARK,
    )


@pytest.mark.parametrize("beside", [True, False])
def test_an_adapter_in_a_models_own_file_is_called_one(tmp_path: Path, beside: bool) -> None:
    folder, name = saved(tmp_path / "llama"), "model.layers.1.self_attn.q_proj"
    change: dict[str, torch.Tensor | None] = {
        f"{name}.lora_A.default.weight": torch.ones(2, 64),
        f"{name}.lora_B.default.weight": torch.ones(64, 2),
    }
    if beside:
        notes = make_runnable(load_recipe(str(rewritten(folder, change)))).notes
        assert notes[1].startswith(
            f"model.safetensors: {name}.lora_A.default.weight, {name}.lora_B.default.weight: of an"
        )
        assert "of an adapter, which isn't applied here; merge it" in notes[1]
        return
    weights = load_file(folder / "model.safetensors")
    for layer in range(3):
        path = f"model.layers.{layer}.self_attn.q_proj"
        change |= {f"{path}.base_layer.weight": weights[f"{path}.weight"], f"{path}.weight": None}
    with pytest.raises(InputError, match=r"q_proj\.weight is missing .*; they are of an adapter: merge it"):
        make_runnable(load_recipe(str(rewritten(folder, change))))


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"])
def test_a_table_of_more_tokens_names_the_field_that_says_how_many(tmp_path: Path, name: str) -> None:
    longer = torch.zeros(72) if "norm" in name else torch.zeros(328, 64)
    problem = r", got \[72\]" if "norm" in name else r", by config\.json's vocab_size of 320, got \[328, 64\]"
    folder = rewritten(saved(tmp_path / "llama"), {name: longer})
    with pytest.raises(InputError, match=rf"{name}: must have the shape \[[\d, ]+\]{problem}"):
        make_runnable(load_recipe(str(folder)))


def quantised(folder: Path, family: str = "llama") -> tuple[Path, State]:
    """A folder in DeepSeek's form, and the weights that it stands for, by the formula written out in float64."""
    path = saved(folder, family) / "model.safetensors"
    plain = {name: tensor.clone() for name, tensor in load_file(path).items()}
    stored = {}
    for name, tensor in list(plain.items()):
        if not name.endswith("_proj.weight"):
            stored[name] = tensor
            continue
        rows, columns = tensor.shape
        scale = torch.empty(-(-rows // 32), -(-columns // 48))
        weight = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
        meant = torch.empty(rows, columns)
        for i in range(scale.shape[0]):
            for j in range(scale.shape[1]):
                block = slice(32 * i, 32 * i + 32), slice(48 * j, 48 * j + 48)
                scale[i, j] = tensor[block].abs().max() / 448
                weight[block] = (tensor[block] / scale[i, j]).to(torch.float8_e4m3fn)
                # A product of 4 and 24 bits is exact in float64: rounding it once is float32's own product.
                meant[block] = (weight[block].double() * scale[i, j].double()).float()
        stored |= {name: weight, f"{name}_scale_inv": scale}
        plain[name] = meant
    save_file(stored, path)
    return change_config(folder, quantization_config=FP8), plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_float8_with_block_scales_is_the_formula_to_the_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    folder, meant = quantised(tmp_path / "m")
    checkpoint = opened(folder)
    for name in (GATE, "model.layers.0.self_attn.k_proj.weight", "model.layers.2.mlp.down_proj.weight"):
        wanted = spec(name, tuple(meant[name].shape), dtype)
        assert checkpoint.provenance(wanted) == "dequantised float8"
        ticks: list[int] = []
        assert torch.equal(checkpoint.read(wanted, None, ticks.append), meant[name].to(dtype))
        assert sum(ticks) == wanted.nbytes()
        rows = [31, 0, 17, 17]
        assert torch.equal(checkpoint.read(wanted, rows, silent), meant[name][rows].to(dtype))
    assert checkpoint.provenance(spec("model.norm.weight", (64,))) == "file"


@pytest.mark.parametrize("family", ["llama", "qwen2_moe"])
def test_a_float8_folder_runs_as_the_weights_that_it_stands_for(tmp_path: Path, family: str) -> None:
    folder, meant = quantised(tmp_path / "fp8", family)
    plain = saved(tmp_path / "plain", family)
    save_file(meant, plain / "model.safetensors", {"format": "pt"})
    trace = trace_recipe(with_options(load_recipe(str(folder)), dtype="float32", memory="1"), ids=IDS)
    assert_computes(trace["logits"], plain, IDS)
    found = {record.provenance for record in trace.records}
    # A matrix may have a bias, which nobody quantises.
    assert {"file", "dequantised float8"} <= found <= {"file", "dequantised float8", "dequantised float8+file", ""}
    assert "all " in trace.run.notes[0]
    assert trace.run.notes[1].startswith("model.safetensors: dequantised: ")
    assert trace.run.notes[2].endswith("what quantised modules are given is not rounded, as the form has it")
    assert trace.run.notes[3:] == (BUILTIN_REMARK,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "is float8_e4m3fn, which means nothing without its scales: "),
        (torch.ones(3, 1), "must be of the shape [3, 2], one for each block of 32 × 48, got 'float32 [3, 1]'"),
        (torch.ones(3, 2).int(), "must be of the shape [3, 2], one for each block of 32 × 48, got 'int32 [3, 2]'"),
    ],
)
def test_scales_that_do_not_fit_are_refused(tmp_path: Path, change: torch.Tensor | None, said: str) -> None:
    folder, _ = quantised(tmp_path / "m")
    rewritten(folder, {f"{GATE}_scale_inv": change})
    with pytest.raises(InputError) as error:
        make_runnable(load_recipe(str(folder)))
    assert f"{folder / 'model.safetensors'}: {GATE}" in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("quantization_config", {"quant_method": "hqq"}, "the weights are quantised, hqq; tracetui doesn't"),
        ("quantization_config", {"load_in_4bit": True}, "the weights are quantised, of no name; "),
        ("quantization_config", {"quant_method": "fp8", "fmt": "e5m2"}, "the weights are quantised, fp8 e5m2; "),
        ("quantization_config", {"quant_method": "\x1b[31m"}, "the weights are quantised, ␛[31m; "),
        ("quantization_config", {"quant_method": "fp8", "weight_block_size": [0, 1]}, "weight_block_size: must be"),
        (
            "quantization_config",
            {"quant_method": "fp8", "weight_block_size": 128},
            "weight_block_size: must be the rows and columns of a block, got 128",
        ),
        ("quantization_config", {"quant_method": "modelopt", "quant_algo": "W4A8"}, "quantised, modelopt W4A8; "),
        ("quantization_config", "gptq", "must be a table, got 'gptq'"),
        ("compression_config", {"quant_method": "fp8"}, "the weights are quantised, fp8; "),
    ],
)
def test_other_ways_to_quantise_are_named_and_refused_but_for_random_weights(
    tmp_path: Path, field: str, value: object, said: str
) -> None:
    folder = change_config(saved(tmp_path / "llama"), **{field: value})
    recipe = load_recipe(str(folder))
    with pytest.raises(InputError) as error:
        make_runnable(recipe)
    assert str(error.value).startswith(f"{folder / 'config.json'}: {field}")
    assert said in str(error.value)
    assert str(error.value).isprintable()
    assert random(recipe).weights.provenance(random(recipe).built.module) == ""


def random(recipe: Recipe) -> Runnable:
    return make_runnable(with_options(recipe, weights="random"))


AUTO_MAP = {"AutoModelForCausalLM": "modeling_mine.Mine", "AutoConfig": "configuration_mine.Mine"}


def test_code_in_a_folder_is_never_run(tmp_path: Path) -> None:
    folder = change_config(saved(tmp_path / "llama"), auto_map=AUTO_MAP)
    mark = tmp_path / "was run"
    for name in ("modeling_mine.py", "configuration_mine.py"):
        (folder / name).write_text(f"open({str(mark)!r}, 'w')\nclass Mine: pass\n")
    made = make_runnable(load_recipe(str(folder)))
    assert type(made.built.module).__name__ == "LlamaForCausalLM"
    assert made.notes[0].startswith("auto_map: the folder brings code of its own, which is never run")
    with pytest.raises(InputError, match="transformers knows no 'mine', and the code that the folder brings for it"):
        make_runnable(load_recipe(str(change_config(folder, model_type="mine"))))
    with pytest.raises(InputError, match=r"config.json: model_type: transformers knows no 'mine'$"):
        make_runnable(load_recipe(str(change_config(folder, auto_map=None))))
    assert not mark.exists()


def test_a_count_of_layers_that_the_family_does_not_read_is_refused(tmp_path: Path) -> None:
    folder = change_config(saved(tmp_path / "llama"), num_hidden_layers=None, n_layer=2)
    with pytest.raises(InputError, match=r"says 2 layers in a field that llama doesn't read, and so 32 would be built"):
        make_runnable(load_recipe(str(folder)))


@pytest.mark.parametrize("family", [*FAMILIES, *MOE])
def test_every_tensor_of_a_family_s_file_finds_its_place_also_when_layers_are_left_out(
    tmp_path: Path, family: str
) -> None:
    recipe = load_recipe(str(sharded(tmp_path / family, family)))
    for layers in (None, "1", "1:2", "2:3"):
        made = make_runnable(with_options(recipe, layers=layers))
        assert {slot.provenance for _, slot in made.weights.all_slots()} == {"file"}
        assert not any("read over" in note for note in made.notes)


def test_a_float8_folder_runs_in_its_configuration_s_dtype(tmp_path: Path) -> None:
    folder, _ = quantised(tmp_path / "m")
    kept = ("model.norm.weight", "model.embed_tokens.weight", "lm_head.weight")
    # So few bytes are left in another dtype that float8 is what most have.
    rewritten(folder, dict.fromkeys(kept))
    for said, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        assert make_runnable(load_recipe(str(change_config(folder, dtype=said)))).built.dtype == dtype


def test_qwen_2_5_is_built_at_its_published_size() -> None:
    recipe = load_recipe("qwen2.5-1.5b")
    assert (recipe.layers, recipe.weights) == (Layers(0, 28), None)
    made = make_runnable(recipe)
    tree = outline(made.built.module)
    # The head is the embedding, and counts once.
    assert tree.parameters == 1_543_714_304
    assert {slot.provenance for _, slot in made.weights.all_slots()} == {"random"}

"""Quantised weights of which some tensors stand in a file that isn't there: random, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import change_config, saved
from tests.models.quantised.folders import quantised
from tests.models.quantised.packing import FORMS, Tensors
from tests.models.test_safetensors_checkpoint import opened, silent, spec
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe

MODULE = "model.layers.0.mlp.down_proj"
OTHER = "model.layers.0.mlp.up_proj.weight"
THERE, GONE = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
Made = tuple[Path, Tensors, Tensors]


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """A folder of each form, made once, its tensors and the weights that they mean."""
    plain = saved(tmp_path_factory.mktemp("plain") / "m", num_hidden_layers=1)
    made: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in made:
            folder, meant = quantised(plain, tmp_path_factory.mktemp("q") / "m", FORMS[name])
            made[name] = folder, load_file(folder / "model.safetensors"), meant
        return made[name]

    return make


@pytest.mark.parametrize(
    ("form", "ending"),
    [
        ("gptq, activation order", "qweight"),
        ("gptq, activation order", "g_idx"),
        ("awq", "qweight"),
        ("int4, group, not symmetric", "weight_packed"),
        ("int4, group, not symmetric", "weight_zero_point"),
        ("nvfp4", "weight_global_scale"),
        ("modelopt nvfp4", "weight_scale_2"),
        ("float8, channel", "weight"),
        ("nf4, nested", "weight.nested_absmax"),
        ("nf4, nested", "weight.quant_state.bitsandbytes__nf4"),
        ("bitsandbytes int8", "SCB"),
        ("mlx, 4 bits", "weight"),
    ],
)
def test_a_weight_with_a_tensor_in_a_missing_file_is_random(
    folder_of: Callable[[str], Made], tmp_path: Path, form: str, ending: str
) -> None:
    source, stored, meant = folder_of(form)
    gone = f"{MODULE}.{ending}"
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    save_file({name: tensor for name, tensor in stored.items() if name != gone}, tmp_path / THERE)
    index = {name: GONE if name == gone else THERE for name in stored}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    checkpoint = opened(tmp_path)
    wanted = [spec(name, tuple(weight.shape)) for name, weight in meant.items()]
    assert {each.name for each in wanted if checkpoint.provenance(each) is None} == {f"{MODULE}.weight"}
    made = checkpoint.read(spec(OTHER, tuple(meant[OTHER].shape)), None, silent)
    assert torch.equal(made.to(meant[OTHER].dtype), meant[OTHER])
    notes = checkpoint.report(wanted)
    assert notes[0] == f"{GONE}: is missing, and with it one tensor by the index"
    assert not any("read over" in note for note in notes)


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("gptq, activation order", {"desc_act": True}),
        ("int4, group, symmetric", {"config_groups": {"all": {"weights": {"actorder": "group", "group_size": 32}}}}),
    ],
)
def test_groups_in_another_order_are_not_read_without_their_table(
    folder_of: Callable[[str], Made], tmp_path: Path, form: str, said: dict[str, object]
) -> None:
    source, stored, _ = folder_of(form)
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    without = {name: tensor for name, tensor in stored.items() if not name.endswith("g_idx")}
    save_file(without, tmp_path / "model.safetensors")
    change_config(tmp_path, quantization_config={**FORMS[form].config, **said})
    with pytest.raises(InputError, match="is of groups in the order of activations by the configuration, and no g_idx"):
        make_runnable(load_recipe(str(tmp_path)))
    change_config(tmp_path, quantization_config={**FORMS[form].config, **said, "static_groups": True})
    if form.startswith("gptq"):
        make_runnable(load_recipe(str(tmp_path)))


@pytest.mark.parametrize("is_other", [False, True])
def test_a_head_stored_beside_its_embedding_is_one_with_it_unless_it_differs(
    folder_of: Callable[[str], Made], tmp_path: Path, is_other: bool
) -> None:
    source, stored, meant = folder_of("mlx, 4 bits")
    packed, _ = FORMS["mlx, 4 bits"].pack(meant["model.embed_tokens.weight"])
    other = packed | ({"scales": packed["scales"] * 2} if is_other else {})
    tensors = {name: t for name, t in stored.items() if name not in ("model.embed_tokens.weight", "lm_head.weight")}
    tensors |= {f"model.embed_tokens.{end}": tensor for end, tensor in packed.items()}
    tensors |= {f"lm_head.{end}": tensor.clone() for end, tensor in other.items()}
    (tmp_path / "config.json").write_bytes((source / "config.json").read_bytes())
    save_file(tensors, tmp_path / "model.safetensors")
    change_config(tmp_path, tie_word_embeddings=True)
    notes = make_runnable(load_recipe(str(tmp_path))).notes
    assert any("lm_head.weight: differs from" in note for note in notes) is is_other

"""Folders whose quantised weights only their tensors tell of: named and refused, never run with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import saved
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options

U8 = torch.uint8
PROJECTION = "model.layers.1.self_attn.q_proj"
FORMS: Mapping[str, tuple[Mapping[str, torch.Tensor], str, str]] = {
    "no form": ({"absmax": torch.ones(64), "weight": torch.zeros(2048, 1, dtype=U8)}, "absmax", "bitsandbytes, 4 bits"),
    "mlx": ({"weight": torch.zeros(64, 8, dtype=torch.uint32), "scales": torch.ones(64, 1),
             "biases": torch.ones(64, 1)}, "scales", "MLX"),
    "unheard of": ({"ternary": torch.zeros(64, 16, dtype=U8), "alpha": torch.ones(1)}, "ternary", "of no name"),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain") / "m")


def with_tensors(plain: Path, folder: Path, tensors: Mapping[str, torch.Tensor], keep: bool = False) -> Path:
    """The folder with other tensors beside, or in place of, a projection's weight."""
    folder.mkdir()
    (folder / "config.json").write_bytes((plain / "config.json").read_bytes())
    stored = load_file(plain / "model.safetensors")
    if not keep:
        del stored[f"{PROJECTION}.weight"]
    save_file(stored | {f"{PROJECTION}.{name}": t for name, t in tensors.items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_a_form_that_only_the_tensors_tell_of_is_refused_by_name(plain: Path, tmp_path: Path, form: str) -> None:
    tensors, tensor, name = FORMS[form]
    folder = with_tensors(plain, tmp_path / "m", tensors)
    recipe = load_recipe(str(folder))
    with pytest.raises(InputError) as error:
        make_runnable(recipe)
    told = f"{folder / 'model.safetensors'}: {PROJECTION}.{tensor}: the weights are quantised, {name}; "
    assert str(error.value) == f"{told}tracetui doesn't read it; --weights random runs the model without it"
    made = make_runnable(with_options(recipe, weights="random"))
    assert {slot.provenance for _, slot in made.weights.all_slots()} == {"random"}


@pytest.mark.parametrize("name", ["bias_of_old", "rotary_emb.inv_freq", "masked_bias"])
def test_other_tensors_beside_a_weight_are_read_over(plain: Path, tmp_path: Path, name: str) -> None:
    folder = with_tensors(plain, tmp_path / "m", {name: torch.ones(8, dtype=U8)}, keep=True)
    assert f"read over, no module asks for {PROJECTION}.{name}" in make_runnable(load_recipe(str(folder))).notes[1]


def test_a_weight_that_is_missing_beside_other_floats_is_random(plain: Path, tmp_path: Path) -> None:
    folder = with_tensors(plain, tmp_path / "m", {"lora_A.weight": torch.ones(4, 64)})
    assert "1 random" in make_runnable(load_recipe(str(folder))).notes[0]

"""Weight files without a whole part of the model are refused; single tensors and layers may be missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.hf_files import LLAMA, saved
from tests.models.meta_files import State, state_dict, write_folder
from tracetui.errors import InputError
from tracetui.models.runnable import Runnable, make_runnable
from tracetui.recipe import load_recipe

FILE = "model.safetensors"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain") / "m", "llama")


def renamed(plain: Path, folder: Path, name_of: Callable[[str], str | None]) -> Path:
    """A folder with another's tensors under other names; None leaves one out."""
    folder.mkdir()
    (folder / "config.json").write_text((plain / "config.json").read_text())
    tensors = load_file(plain / FILE)
    save_file({new: tensor for name, tensor in tensors.items() if (new := name_of(name))}, folder / FILE)
    return folder


def made(folder: Path) -> Runnable:
    return make_runnable(load_recipe(str(folder)))


LOST: dict[str, tuple[Callable[[str], str | None], str]] = {
    "a projection": (
        lambda name: name.replace("q_proj", "query"),
        r"self_attn.q_proj.weight is missing from layers 0–2, .* the file's model.layers.0.self_attn.query.weight",
    ),
    "the MLP": (lambda name: None if ".mlp." in name else name, "mlp.gate_proj.weight and 2 more are missing from"),
    "one layer's": (
        lambda name: None if ".1." in name and "proj" in name else name,
        r"mlp.down_proj.weight and 6 more are missing from layer 1;",
    ),
    "all layers": (
        lambda name: name.replace("model.layers", "trunk.units"),
        r"none of the model's 27 tensors of layers is there, and no module asks for the file's trunk.units.0",
    ),
    "the table of tokens": (
        lambda name: name.replace("embed_tokens", "words"),
        r"model.embed_tokens.weight is missing, and no module asks for the file's model.words.weight;",
    ),
}


@pytest.mark.parametrize("part", LOST)
def test_a_file_without_a_whole_part_is_refused_by_its_name(plain: Path, tmp_path: Path, part: str) -> None:
    name_of, told = LOST[part]
    folder = renamed(plain, tmp_path / "m", name_of)
    with pytest.raises(InputError, match=f"{FILE}: tensors: {told}.*--weights random runs without it$"):
        made(folder)
    assert make_runnable(replace(load_recipe(str(folder)), weights=None)).notes


KEPT: dict[str, Callable[[str], str | None]] = {
    "layers beyond the file": lambda name: None if ".2." in name else name,
    "a tensor": lambda name: None if name == "model.layers.1.self_attn.q_proj.weight" else name,
    "the head": lambda name: None if name == "lm_head.weight" else name,
    "all layers, of a file with nothing else": lambda name: None if ".layers." in name else name,
}


@pytest.mark.parametrize("part", KEPT)
def test_what_else_is_missing_is_random_and_said_to_be(plain: Path, tmp_path: Path, part: str) -> None:
    notes = made(renamed(plain, tmp_path / "m", KEPT[part])).notes
    assert re.match(r"model.safetensors: \d+ tensors from the file, \d+ random: ", notes[0])


def test_a_tensor_that_only_a_whole_s_rules_lead_to_is_read(tmp_path: Path) -> None:
    plain = saved(tmp_path / "plain", "qwen3", **LLAMA)

    def as_published(name: str) -> str:
        return f"language_model.{name.replace('.layers.', '.encoder.layers.')}"

    folder = renamed(plain, tmp_path / "m", as_published)
    text = json.loads((plain / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "qianfan_ocr", "text_config": text}))
    parts = {"mlp1.0.bias": torch.ones(8), "vision_model.encoder.layers.0.ls1": torch.ones(8)}
    save_file({**load_file(folder / FILE), **parts}, folder / FILE)
    run = made(folder)
    assert {slot.provenance for _, slot in run.weights.all_slots()} == {"file"}
    assert f"{FILE}: not read, no part of this model: mlp1 (1 tensor), vision_model (1 tensor)" in run.notes


META: dict[str, tuple[Callable[[State], State], str]] = {
    "attention": (
        lambda state: {name.replace("attention.w", "attention.proj_"): tensor for name, tensor in state.items()},
        r"tensors: self_attn.q_proj.weight and 3 more are missing from layers 0–2, .* layers.0.attention.proj_k.weight",
    ),
    "packed": (
        lambda state: {name.replace("wq.weight", "wq.qweight"): tensor for name, tensor in state.items()},
        r"layers.0.attention.wq.qweight: the weights are quantised, AWQ or GPTQ; tracetui doesn't read it; --weights",
    ),
    "int8": (
        lambda state: {name: tensor.to(torch.int8) if "feed" in name else tensor for name, tensor in state.items()},
        r"layers.0.feed_forward.w1.weight: the weights are quantised, int8; tracetui doesn't read it; --weights random",
    ),
    "bits beside scales": (
        lambda state: {
            **{name: tensor for name, tensor in state.items() if ".wo." not in name},
            **{f"layers.{i}.attention.wo.bits": torch.zeros(8, dtype=torch.uint8) for i in range(3)},
        },
        r"layers.0.attention.wo.bits: the weights are quantised, of no name; tracetui doesn't read it; --weights",
    ),
}


@pytest.mark.parametrize("form", META)
def test_a_file_of_meta_s_without_a_part_or_in_fewer_bits_is_refused(tmp_path: Path, form: str) -> None:
    change, told = META[form]
    with pytest.raises(InputError, match=f"consolidated.00.pth: {told}"):
        made(write_folder(tmp_path / "m", change(state_dict())))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_of_torch_s_own_quantised_tensors_is_refused_by_that(tmp_path: Path) -> None:
    state: dict[str, object] = dict(state_dict())
    state["norm.weight"] = torch.quantize_per_tensor(torch.ones(64), 0.1, 0, torch.qint8)
    with pytest.raises(InputError, match=r"the weights are quantised, torch\S+; tracetui doesn't read it; --weights"):
        made(write_folder(tmp_path / "m", state))

"""Text models in folders of several parts run as the whole does on text alone, whatever their tensors are called."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, LlamaForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import tracetui
from tests.models.hf_files import LLAMA, saved
from tracetui.errors import InputError
from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe

IDS = [5, 17, 3, 99, 42]
SIGLIP = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
QWEN_VISION = {"depth": 1, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2}
ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 3, 3]}
TEXT = {**LLAMA, "head_dim": 16}
WHOLE: dict[str, dict[str, Any]] = {
    "gemma3": {"text_config": {**TEXT, "sliding_window": 4}, "vision_config": SIGLIP, "mm_tokens_per_image": 4},
    "qwen2_vl": {"text_config": {**LLAMA, "rope_parameters": ROPE}, "vision_config": QWEN_VISION},
    "qwen3_vl": {
        "text_config": {**TEXT, "rope_parameters": ROPE},
        "vision_config": {"depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64,
                          "deepstack_visual_indexes": [0], "num_position_embeddings": 16},
    },
}  # fmt: skip


@pytest.mark.parametrize("family", WHOLE)
def test_the_text_model_of_a_saved_whole_runs_as_the_whole_on_text(tmp_path: Path, family: str) -> None:
    torch.manual_seed(3)
    whole: Any = AutoModelForImageTextToText.from_config(CONFIG_MAPPING[family](**WHOLE[family])).eval()
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter.normal_(0.0, 0.1)
        expected = whole(input_ids=torch.tensor([IDS])).logits.numpy()
    whole.save_pretrained(tmp_path / "m")
    trace = tracetui.trace(str(tmp_path / "m"), tokens=IDS)
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=1e-5)
    assert "model.layers.2.self_attn.q_proj" in trace
    notes = trace.run.notes
    assert notes[0] == "config.json: the text model of text_config alone is built; vision_config not read"
    assert re.fullmatch(r"model.safetensors: all \d+ tensors from the file", notes[1])
    assert re.match(r"model.safetensors: not read, no part of this model: .*vis\w+ \(\d+ tensors\)", notes[2])
    outline = make_runnable(load_recipe(str(tmp_path / "m" / "config.json")))
    assert outline.weights.kept_bytes


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("plain") / "m", "llama")


PREFIXES: dict[str, Callable[[str], str]] = {
    "language_model": lambda name: f"language_model.{name}",
    "inside the model": lambda name: re.sub(r"^model\.", "model.language_model.", name),
    "inside the model, its head too": lambda name: re.sub(r"^(model\.)?", "model.language_model.", name),
    "text_model": lambda name: re.sub(r"^model\.", "model.text_model.", name),
    "thinker": lambda name: f"thinker.{name}",
    "no model": lambda name: name.removeprefix("model."),
    "its own": lambda name: name,
}


def in_parts(plain: Path, folder: Path, renamed: Callable[[str], str], **more: torch.Tensor) -> Path:
    """A folder of several parts whose text model is that of another folder, its tensors renamed."""
    folder.mkdir()
    text = json.loads((plain / "config.json").read_text())
    whole = {"model_type": "llava_of_mine", "text_config": text, "vision_config": {"hidden_size": 8}}
    (folder / "config.json").write_text(json.dumps(whole))
    vision = {f"vision_tower.encoder.layers.{i}.self_attn.q_proj.weight": torch.ones(64, 64) for i in range(5)}
    tensors = {renamed(name): tensor for name, tensor in load_file(plain / "model.safetensors").items()}
    save_file({**vision, **tensors, **more}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_text_model_is_found_under_any_prefix(plain: Path, tmp_path: Path, prefix: str) -> None:
    folder = in_parts(plain, tmp_path / "m", PREFIXES[prefix])
    made, alone = make_runnable(load_recipe(str(folder))), make_runnable(load_recipe(str(plain)))
    slots = zip(made.weights.all_slots(), alone.weights.all_slots(), strict=True)
    assert {slot.provenance for (_, slot), _ in slots} == {"file"}
    trace = tracetui.trace(str(folder), tokens=IDS)
    np.testing.assert_array_equal(trace["logits"], tracetui.trace(str(plain), tokens=IDS)["logits"])


def test_of_two_text_models_the_one_with_the_head_is_taken(plain: Path, tmp_path: Path) -> None:
    own = load_file(plain / "model.safetensors")
    talker = {f"talker.{name}": torch.zeros_like(own[name]) for name in own if name.startswith("model.")}
    folder = in_parts(plain, tmp_path / "m", PREFIXES["thinker"], **talker)
    notes = make_runnable(load_recipe(str(folder))).notes
    assert f"not read, no part of this model: talker ({len(talker)} tensors), vision_tower (5 tensors)" in notes[2]


def test_a_tensor_of_another_shape_is_told_by_its_name_in_the_file(plain: Path, tmp_path: Path) -> None:
    folder = in_parts(plain, tmp_path / "m", PREFIXES["language_model"])
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 97
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"language_model.model.layers.0.mlp.\w+.weight: must have the shape"):
        make_runnable(load_recipe(str(folder)))


def test_a_head_that_the_file_lacks_is_the_embedding_where_the_whole_says_so(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CONFIG_MAPPING["llama"](**{**LLAMA, "tie_word_embeddings": True})
    LlamaForCausalLM(config).save_pretrained(tmp_path / "plain")
    folder = in_parts(tmp_path / "plain", tmp_path / "m", PREFIXES["inside the model"])
    made = make_runnable(load_recipe(str(folder)))
    assert made.built.module.get_output_embeddings().weight is made.built.module.get_input_embeddings().weight


def test_a_text_model_of_an_encoder_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    text = {"model_type": "clip_text_model", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 320}
    path.write_text(json.dumps({"model_type": "clip", "text_config": text}))
    with pytest.raises(InputError, match="transformers has no causal language model for 'clip_text_model'"):
        make_runnable(load_recipe(str(path)))


def test_experts_that_only_the_whole_s_rules_put_together_are_read(tmp_path: Path) -> None:
    fields = {
        **TEXT, "rope_parameters": {**ROPE, "mrope_section": [1, 1, 2]},
        "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
        "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
    }  # fmt: skip
    vision = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 64, "image_size": 28,
        "patch_size": 14,
    }  # fmt: skip
    whole: Any = AutoModelForImageTextToText.from_config(
        CONFIG_MAPPING["glm4v_moe"](text_config=fields, vision_config=vision)
    )
    whole.eval().save_pretrained(tmp_path / "m")
    with torch.no_grad():
        expected = whole(input_ids=torch.tensor([IDS])).logits.numpy()
    stored = load_file(tmp_path / "m" / "model.safetensors")
    assert "model.language_model.layers.1.mlp.experts.3.up_proj.weight" in stored
    np.testing.assert_allclose(tracetui.trace(str(tmp_path / "m"), tokens=IDS)["logits"], expected, rtol=0, atol=1e-5)


def test_a_text_model_whose_whole_changes_the_logits_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "muse_glimmer", "text_config": {"num_hidden_layers": 4}}))
    with pytest.raises(InputError, match="makes more of its head's output than a product"):
        make_runnable(load_recipe(str(path)))


def test_a_text_model_with_a_head_of_its_own_has_that_one(tmp_path: Path) -> None:
    fields = {"text_config": {**LLAMA, "sep_token_id": 3}, "vision_config": SIGLIP}
    torch.manual_seed(0)
    whole: Any = AutoModelForImageTextToText.from_config(CONFIG_MAPPING["blip"](**fields)).eval()
    whole.save_pretrained(tmp_path / "m")
    with torch.no_grad():
        expected = whole.text_decoder(input_ids=torch.tensor([IDS])).logits.numpy()
    np.testing.assert_allclose(tracetui.trace(str(tmp_path / "m"), tokens=IDS)["logits"], expected, rtol=0, atol=1e-5)

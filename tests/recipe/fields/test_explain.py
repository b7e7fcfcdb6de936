"""Every field of the systems that tracetui is made for has an explanation in words of our own."""

from __future__ import annotations

import importlib

import pytest

from tracetui.recipe import load_recipe, shipped_recipes
from tracetui.recipe.fields.explain import explanation, meta_explanation
from tracetui.recipe.meta import _KNOWN

FAMILIES = ("llama", "qwen2", "qwen2_moe", "deepseek_v3")


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_field_of_a_shipped_recipe_is_explained(name: str) -> None:
    config = load_recipe(name).config
    family = str(config["model_type"])
    for field, value in config.items():
        assert explanation(field, family), field
        for key in value if isinstance(value, dict) else ():
            assert explanation(f"rope_parameters.{key}", family), key


@pytest.mark.parametrize("family", FAMILIES)
def test_every_field_of_these_families_own_classes_is_explained(family: str) -> None:
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    importlib.import_module(f"transformers.models.{family}")
    own = set(CONFIG_MAPPING[family].__dataclass_fields__) - set(PreTrainedConfig.__dataclass_fields__)
    assert len(own) > 15
    assert not [field for field in own if not explanation(field, family)]


def test_every_field_of_meta_s_is_explained() -> None:
    assert not [field for field in _KNOWN if not meta_explanation(field)]


def test_a_family_s_own_words_go_before_the_common_ones() -> None:
    assert explanation("head_dim", "deepseek_v3") != explanation("head_dim", "llama")
    assert explanation("hidden_size", "deepseek_v3") == explanation("hidden_size", "gpt_oss") != ""


@pytest.mark.parametrize("field", ["", "nonsense", "a.b", "rope_parameters.nonsense", "rope_parameters.", "\x1b"])
def test_what_is_not_known_has_no_words(field: str) -> None:
    assert explanation(field, "llama") == ""
    assert explanation(field, "nonsense") == ""
    assert meta_explanation(field) == ""

"""Documentation of fields, read off classes that nobody here wrote."""

from __future__ import annotations

import importlib

import pytest

from tracetui.models.config_help.class_docs import documented_fields


class Odd:
    r"""Words before, which (`are`) no field.

    Args:
        width (`int`, *optional*, defaults to `3`):
            How wide. See [this
            paper](https://example.org/x) of `somebody`.

            And more of it.
        deep (`Union[int, list[int]]`):
            How deep.
    Afterwards there is text that
        belongs to nobody.

    empty (`int`):

    wide (`int`, *optional*):
        Not indented as the others.
    """


class Silent:
    pass


def test_a_field_s_text_ends_where_the_indentation_does() -> None:
    assert documented_fields(Odd) == {
        "width": "How wide. See this paper of somebody. And more of it.",
        "deep": "How deep.",
        "wide": "Not indented as the others.",
    }
    assert documented_fields(Silent) == {}


@pytest.mark.parametrize("family", ["gemma2", "mixtral", "gpt2", "olmoe"])
def test_transformers_explains_most_fields_of_other_families(family: str) -> None:
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    importlib.import_module(f"transformers.models.{family}")
    config_class = CONFIG_MAPPING[family]
    own = set(config_class.__dataclass_fields__) - set(PreTrainedConfig.__dataclass_fields__)
    documented = documented_fields(config_class)
    assert len(own & set(documented)) > 0.8 * len(own)
    assert not any("`" in text or "\n" in text for text in documented.values())

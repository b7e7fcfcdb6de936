"""Fields of a configuration that transformers' class takes without a word and nobody reads."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from tracetui.recipe import Recipe
from tracetui.recipe.reference import READ_HERE, is_reference
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_READ_ELSEWHERE = frozenset(
    {
        "model_type", "architectures", "auto_map", "transformers_version", "torch_dtype", "dtype", "_name_or_path",
        "quantization_config", "quantization", "tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
        "rope_theta", "rope_scaling", "rope_parameters", "attn_implementation", "pretraining_tp",
    }
)  # fmt: skip


def unread_fields(recipe: Recipe, config: PreTrainedConfig) -> tuple[str, ...]:
    """A remark for each field of the recipe's configuration that the model's class doesn't have."""
    known = class_fields(config) | set(config.attribute_map) | _READ_ELSEWHERE
    if is_reference(recipe.config):
        known |= READ_HERE
    return tuple(_remark(field, known) for field in recipe.config if field not in known)


def class_fields(config: PreTrainedConfig) -> frozenset[str]:
    """What the configuration's class has without being told: declared fields, and those that follow from them."""
    make: Callable[[], PreTrainedConfig] = type(config)
    return _fields_of(make)


@cache
def _fields_of(make: Callable[[], PreTrainedConfig]) -> frozenset[str]:
    return frozenset(make().to_dict())


def _remark(field: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(field, known, n=1, cutoff=0.8)
    meant = f"; {near[0]} may be meant" if near else ""
    return f"config: {visible(field, 60)}: this model's configuration has no such field, it changes nothing{meant}"

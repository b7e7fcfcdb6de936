"""A recipe small enough to run in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tracetui.recipe import Layers, Recipe, texts

CONFIG = {
    "model_type": "llama",
    "vocab_size": 4200,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
RECIPE = Recipe(
    name="tiny",
    title="tiny",
    origin="tiny.toml",
    config=CONFIG,
    layers=Layers(0, 3),
    dtype="float32",
    prompts=texts("the answer to the ultimate question"),
)


def recipe(**fields: Any) -> Recipe:
    """The tiny recipe with some fields changed; `config` fields are laid over its own."""
    if "config" in fields:
        fields["config"] = {**CONFIG, **fields["config"]}
    return replace(RECIPE, **fields)

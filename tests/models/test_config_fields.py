"""Fields that layers have of their own are read where transformers gives no common value."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma4ForCausalLM, Gemma4TextConfig, LlamaConfig

from tracetui.models.config_help.layer_fields import config_field
from tracetui.models.memory.recorded import cached_width

LAYERS = 4


@pytest.fixture(scope="module")
def mixed() -> Gemma4TextConfig:
    """Full attention has heads of another size than sliding attention."""
    return Gemma4TextConfig(
        vocab_size=61, vocab_size_per_layer_input=61, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, global_head_dim=16, hidden_size_per_layer_input=8,
        num_kv_shared_layers=0, layer_types=["sliding_attention", "full_attention"] * 2,
    )  # fmt: skip


def test_a_field_of_all_layers_has_one_value() -> None:
    config = LlamaConfig(head_dim=8)
    assert config_field(config, "head_dim") == config_field(config, "head_dim", layer=0) == 8
    assert config_field(config, "no_such_field") is None


def test_a_field_that_differs_between_layers_has_each_layers_or_the_largest(mixed: Gemma4TextConfig) -> None:
    assert [config_field(mixed, "head_dim", layer) for layer in range(LAYERS)] == [8, 16, 8, 16]
    assert config_field(mixed, "head_dim") == 16


def test_the_cache_is_as_wide_as_what_each_layer_puts_there(mixed: Gemma4TextConfig) -> None:
    model = Gemma4ForCausalLM._from_config(mixed).eval()
    with torch.no_grad():
        cache = model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=True).past_key_values
    held = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert cached_width(model) == held // 3

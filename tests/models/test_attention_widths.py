"""How wide attention's tensors are, read off its projections."""

from __future__ import annotations

import pytest
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tracetui.models.memory.attention_widths import NOTHING, AttentionWidths, attention_widths

GPT2 = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_embd=16, n_layer=1, n_head=2))
LLAMA = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
)


@pytest.mark.parametrize(
    ("module", "widths"),
    [
        # One weight for query, key and value, which lies transposed.
        (GPT2.transformer.h[0].attn, AttentionWidths(query=16, key=16, mixed=16, made=48)),
        (LLAMA.model.layers[0].self_attn, AttentionWidths(query=16, key=8, mixed=16, made=32)),
        (LLAMA.model.layers[0].mlp, NOTHING),
    ],
)
def test_they_follow_from_the_projections(module: nn.Module, widths: AttentionWidths) -> None:
    assert attention_widths(module) == widths
    assert widths.roles == widths.query + widths.key + widths.mixed
    assert widths.alive == widths.made + widths.query + widths.key

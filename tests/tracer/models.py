"""Tiny transformers models with random weights, built by the tests."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


def tiny_llama(**fields: Any) -> LlamaForCausalLM:
    return seeded(LlamaForCausalLM, LlamaConfig(**{**SIZES, **fields}))


def tiny_mistral() -> MistralForCausalLM:
    return seeded(MistralForCausalLM, MistralConfig(**SIZES, sliding_window=3, head_dim=8))


def tiny_gemma2() -> Gemma2ForCausalLM:
    config = Gemma2Config(**SIZES, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=2.0, sliding_window=4)
    return seeded(Gemma2ForCausalLM, config)


def tiny_gpt_oss() -> GptOssForCausalLM:
    config = GptOssConfig(**SIZES, head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=4)
    return seeded(GptOssForCausalLM, config)


def tiny_llama4() -> Llama4ForCausalLM:
    config = Llama4TextConfig(
        **SIZES, head_dim=8, intermediate_size_mlp=48, num_local_experts=4, num_experts_per_tok=1, moe_layers=[0, 1]
    )
    return seeded(Llama4ForCausalLM, config)


def seeded(model_class: Any, config: Any) -> Any:
    """A model of a class and configuration with weights that are the same every time."""
    torch.manual_seed(3)
    model = model_class(config).eval()
    for parameter in model.parameters():
        # Large enough for softmax and experts to have something to tell apart.
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def prompt(rows: int = 1, tokens: int = 9) -> torch.Tensor:
    """Token ids [rows, tokens], none of them padding."""
    return torch.randint(1, SIZES["vocab_size"], (rows, tokens), generator=torch.Generator().manual_seed(7))

"""A tiny llama with one massive activation, as trained models have them: its first token, one channel, one layer on."""

from __future__ import annotations

from functools import cache

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import tracetui
from tracetui.recording.trace import Trace

CHANNEL, LAYER = 7, 1
_BEGIN = 1
"""The token that makes it."""


def model() -> LlamaForCausalLM:
    """Three layers; the second one's down_proj writes thousands for a token whose embedding is one direction alone."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4
    )
    llama = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        llama.model.embed_tokens.weight[_BEGIN] = 0
        llama.model.embed_tokens.weight[_BEGIN, 5] = 10
        mlp = llama.model.layers[LAYER].mlp
        for projection in (mlp.gate_proj, mlp.up_proj):
            projection.weight[0] = 0
            projection.weight[0, 5] = 4
        mlp.down_proj.weight[CHANNEL, 0] = 45
    return llama


@cache
def massive_trace() -> Trace:
    """Of forty tokens."""
    tokens = torch.tensor([[_BEGIN, *range(20, 59)]])
    return tracetui.trace(model(), tokens).recorded

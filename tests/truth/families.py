"""Tiny models of six families, and the decoder that computes what each does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from tests.truth.decoder import Attention, Decoder, Experts, Norm, Rope
from tracetui.trace.trace import Trace
from tracetui.tracer.call import record_call

IDS = [3, 17, 42, 5, 99, 8, 64, 23, 77, 12, 31, 50]
"""All different."""
SIZES: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_NO_HEAD_SIZE = {name: value for name, value in SIZES.items() if name != "head_dim"}
_LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@dataclass(frozen=True, eq=False)
class Family:
    """A model of a family as it was recorded, and a decoder that does the same."""

    name: str
    reference: Trace
    decoder: Decoder


def _model(name: str, **config: Any) -> Any:
    """A model whose norms and biases are not what they begin with."""
    # transformers' modules have no types.
    made = getattr(transformers, f"{name}Config")(**config)
    model = getattr(transformers, f"{name}ForCausalLM")._from_config(made, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim >= 2:
                parameter.copy_(noise * 0.15)
            elif "norm" in path:
                parameter.add_(noise * 0.2)
            else:
                parameter.copy_(noise * 0.2)
    return model


def _family(name: str, model: Any, **fields: Any) -> Family:
    weights: Mapping[str, Tensor] = {path: value.detach().clone() for path, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights = {path: value for path, value in weights.items() if path != "lm_head.weight"}
    fields.setdefault("attention", Attention(16**-0.5))
    fields.setdefault("norm", Norm(model.config.rms_norm_eps))
    decoder = Decoder(weights, SIZES["num_hidden_layers"], 4, 2, 16, **fields)
    return Family(name, record_call(model, input_ids=torch.tensor([IDS]), use_cache=False), decoder)


def _llama() -> Family:
    """With biases and a scaled rotation."""
    scaling = {**_LLAMA3, "rope_theta": 10_000.0, "original_max_position_embeddings": 64}
    model = _model("Llama", **SIZES, attention_bias=True, rope_parameters=scaling)
    return _family("llama", model, rope=Rope(llama3=(8.0, 1.0, 4.0, 64)))


def _qwen3() -> Family:
    """Normalises queries and keys."""
    return _family("qwen3", _model("Qwen3", **SIZES), qk_norm="before")


def tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _gemma2() -> Family:
    """Softcaps, windows in every other layer, norms of 1 + w on both sides of each sublayer, a scaled embedding."""
    caps = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
    model = _model("Gemma2", **SIZES, **caps, sliding_window=4, query_pre_attn_scalar=32)
    return _family(
        "gemma2",
        model,
        attention=Attention(32**-0.5, softcap=2.0, windows=(4, None)),
        norm=Norm(model.config.rms_norm_eps, plus=1.0),
        embed_scale=8.0,
        act=tanh_gelu,
        after_attention="post_attention_layernorm",
        norm2="pre_feedforward_layernorm",
        after_mlp="post_feedforward_layernorm",
        logit_softcap=3.0,
    )


def _phi3() -> Family:
    """Fused projections, half of each head turned, a window."""
    half = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
    model = _model("Phi3", **_NO_HEAD_SIZE, rope_parameters=half, sliding_window=5)
    return _family("phi3", model, rope=Rope(share=0.5), attention=Attention(16**-0.5, windows=(5,)))


def _qwen3_moe() -> Family:
    """Experts."""
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
    model = _model("Qwen3Moe", **SIZES, **experts)
    return _family("qwen3_moe", model, qk_norm="before", experts=Experts(2))


def _granite() -> Family:
    """Multipliers everywhere."""
    scales = {"embedding_multiplier": 12.0, "attention_multiplier": 0.125, "residual_multiplier": 0.22}
    model = _model("Granite", **_NO_HEAD_SIZE, **scales, logits_scaling=8.0)
    return _family(
        "granite",
        model,
        attention=Attention(0.125),
        embed_scale=12.0,
        scale_recorded=False,
        residual=0.22,
        logit_scale=1 / 8,
    )


FAMILIES: Mapping[str, Callable[[], Family]] = {
    "llama": cache(_llama),
    "qwen3": cache(_qwen3),
    "gemma2": cache(_gemma2),
    "phi3": cache(_phi3),
    "qwen3_moe": cache(_qwen3_moe),
    "granite": cache(_granite),
}

"""Tiny models of eleven families, and the decoder that computes what each does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

from tests.truth.decoder import Attention, Decoder, Experts, Latent, Norm, Rope
from tracetui.recording.trace import Trace
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
    kind = name.removesuffix("Text")
    model = getattr(transformers, f"{kind}ForCausalLM")._from_config(made, dtype=torch.float32).eval()
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
        for path, buffer in model.named_buffers():
            if path.endswith("e_score_correction_bias"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.1)
    return model


def _family(name: str, model: Any, **fields: Any) -> Family:
    weights: Mapping[str, Tensor] = {path: value.detach().clone() for path, value in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights = {path: value for path, value in weights.items() if path != "lm_head.weight"}
    for own, theirs in fields.get("names", ()):
        weights = {path.replace(theirs, own): value for path, value in weights.items()}
    fields.setdefault("attention", Attention(16**-0.5))
    if "norm" not in fields:
        fields["norm"] = Norm(model.config.rms_norm_eps)
    groups = getattr(model.config, "num_key_value_heads", None) or 4
    decoder = Decoder(weights, SIZES["num_hidden_layers"], 4, groups, 16, **fields)
    return Family(name, record_call(model, input_ids=torch.tensor([IDS]), use_cache=False), decoder)


ACTIVATION_NAMES = ((".mlp.act_fn", ".mlp.activation_fn"),)


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
    attention = Attention(16**-0.5, windows=(5,))
    return _family("phi3", model, names=ACTIVATION_NAMES, rope=Rope(share=0.5), attention=attention)


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


def _gemma3() -> Family:
    """Another base of the rotation where there is a window, norms of 1 + w, on q and k too."""
    types = ["sliding_attention", "sliding_attention", "full_attention"]
    bases = {"sliding_attention": 10_000.0, "full_attention": 1_000_000.0}
    turning = {name: {"rope_type": "default", "rope_theta": base} for name, base in bases.items()}
    sizes = {"sliding_window": 5, "query_pre_attn_scalar": 24, "rope_parameters": turning}
    model = _model("Gemma3Text", **SIZES, **sizes, layer_types=types)
    windows = (5, 5, None)
    return _family(
        "gemma3",
        model,
        attention=Attention(24**-0.5, windows=windows),
        rope=Rope(theta=1_000_000.0, local_theta=10_000.0),
        local_windows=windows,
        norm=Norm(model.config.rms_norm_eps, plus=1.0),
        embed_scale=8.0,
        act=tanh_gelu,
        qk_norm="before",
        after_attention="post_attention_layernorm",
        norm2="pre_feedforward_layernorm",
        after_mlp="post_feedforward_layernorm",
    )


def _glm4() -> Family:
    """Neighbours of half a head turned, biases, norms after each sublayer, gate and up in one."""
    model = _model("Glm4", **SIZES, attention_bias=True)
    return _family(
        "glm4",
        model,
        names=ACTIVATION_NAMES,
        rope=Rope(share=0.5, pairs=True),
        after_attention="post_self_attn_layernorm",
        after_mlp="post_mlp_layernorm",
    )


NEOX_NAMES = (
    ("model.embed_tokens", "gpt_neox.embed_in"),
    ("model.norm", "gpt_neox.final_layer_norm"),
    ("model.layers", "gpt_neox.layers"),
    (".self_attn.qkv_proj", ".attention.query_key_value"),
    (".self_attn.o_proj", ".attention.dense"),
    (".self_attn", ".attention"),
    (".up_proj", ".dense_h_to_4h"),
    (".down_proj", ".dense_4h_to_h"),
)


def _gpt_neox() -> Family:
    """LayerNorms, both sublayers of one stream, q, k and v of each head side by side, no gate."""
    model = _model("GPTNeoX", **{name: value for name, value in _NO_HEAD_SIZE.items() if "key_value" not in name})
    return _family(
        "gpt_neox",
        model,
        names=NEOX_NAMES,
        norm=Norm(model.config.layer_norm_eps, centred=True),
        rope=Rope(share=0.25),
        parallel=True,
        fused="heads",
        act=F.gelu,
    )


def _deepseek_v3() -> Family:
    """Latents, experts in groups with a bias, one that sees all tokens, a first layer without experts."""
    latent = {"kv_lora_rank": 24, "q_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12}
    experts = {"n_routed_experts": 16, "num_experts_per_tok": 3, "n_group": 4, "topk_group": 2, "n_shared_experts": 1}
    sizes = {**_NO_HEAD_SIZE, "num_key_value_heads": 4, "moe_intermediate_size": 32, "first_k_dense_replace": 1}
    model = _model("DeepseekV3", **sizes, **latent, **experts, routed_scaling_factor=2.5)
    return _family(
        "deepseek_v3",
        model,
        attention=Attention(24**-0.5),
        rope=Rope(pairs=True, pairs_to_halves=True),
        latent=Latent(24, 16, 8, 12),
        experts=Experts(3, scoring="sigmoid", scaling=2.5, groups=4, groups_used=2, shared="shared_experts"),
    )


def _qwen2_moe() -> Family:
    """Experts whose weights are not normalised, one more with a gate of its own, biases."""
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    model = _model("Qwen2Moe", **_NO_HEAD_SIZE, **experts, shared_expert_intermediate_size=40)
    return _family("qwen2_moe", model, experts=Experts(2, normalised=False, shared="shared_expert", shared_first=True))


FAMILIES: Mapping[str, Callable[[], Family]] = {
    "llama": cache(_llama),
    "qwen3": cache(_qwen3),
    "gemma2": cache(_gemma2),
    "phi3": cache(_phi3),
    "qwen3_moe": cache(_qwen3_moe),
    "granite": cache(_granite),
    "gemma3": cache(_gemma3),
    "glm4": cache(_glm4),
    "gpt_neox": cache(_gpt_neox),
    "deepseek_v3": cache(_deepseek_v3),
    "qwen2_moe": cache(_qwen2_moe),
}

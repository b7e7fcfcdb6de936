"""Mistakes of norms and of the embedding."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.truth.decoder import Decoder, but, norm
from tests.truth.fault import ALL, FIRST_NORM, INSIDE, MODULES, Fault, scaled, swapped, weights


def unweighted(decoder: Decoder) -> Decoder:
    """Without the final norm's weight."""
    weight = torch.ones_like(decoder.weights["model.norm.weight"])
    return replace(decoder, weights={**decoder.weights, "model.norm.weight": weight})


EMBEDDING = (
    Fault(
        "embedding not scaled",
        "gemma2 gemma3",
        but(embed_scale=1.0),
        "model.embed_tokens",
        "factor",
        (r"0\.125|√", "hidden_size"),
        ALL,
    ),
    Fault(
        "embedding scaled twice",
        "gemma2 gemma3",
        but(embed_scale=64.0),
        "model.embed_tokens",
        "factor",
        (r"\b8\b", "hidden_size"),
        ALL,
    ),
    Fault(
        "embedding not multiplied",
        "granite",
        but(embed_scale=1.0),
        ":input",
        "factor residual-factor",
        (r"\b12\b|0\.0833", "embedding_multiplier"),
        MODULES,
    ),
)

NORMS = (
    Fault("1 + w left out", "gemma2 gemma3", norm(plus=0.0), FIRST_NORM, "norm-scale", (r"1 \+ w", r"\bw\b")),
    Fault("1 added twice", "gemma2 gemma3", norm(plus=2.0), FIRST_NORM, "norm-scale", (r"2 \+ w", r"1 \+ w")),
    Fault(
        "1 added to w",
        "llama qwen3 granite glm4 gpt_neox deepseek_v3 qwen2_moe",
        norm(plus=1.0),
        FIRST_NORM,
        "norm-scale",
        (r"1 \+ w",),
    ),
    Fault(
        "epsilon",
        "llama gemma2 phi3 gemma3 glm4 gpt_neox deepseek_v3 qwen2_moe",
        norm(eps=3e-3),
        FIRST_NORM,
        "norm-epsilon",
        (r"0\.003|0\.00299", "epsilon"),
    ),
    Fault(
        "mean taken off",
        "llama qwen3_moe glm4 deepseek_v3 qwen2_moe",
        norm(centred=True),
        FIRST_NORM,
        "norm-mean",
        ("mean",),
    ),
    Fault(
        "weight of a norm left out",
        "llama phi3 glm4 gpt_neox deepseek_v3",
        weights(lambda w, p: w.update({f"{p}input_layernorm.weight": torch.ones(64)})),
        FIRST_NORM,
        "norm-scale",
        ("weight",),
    ),
    Fault(
        "one norm scaled",
        "llama qwen3 glm4 gpt_neox deepseek_v3 qwen2_moe",
        scaled("input_layernorm.weight", 1.5, 1),
        FIRST_NORM,
        "norm-scale factor scores",
        (r"1\.5",),
        MODULES,
        topic="scale",
        layer=1,
    ),
    Fault(
        "norms swapped",
        "llama phi3 glm4 gpt_neox deepseek_v3",
        swapped("input_layernorm", "post_attention_layernorm"),
        FIRST_NORM,
        "norm-scale",
        ("weight",),
    ),
    Fault(
        "q_norm left out",
        "qwen3 qwen3_moe gemma3",
        but(without=frozenset({"q_norm", "k_norm"})),
        ".self_attn.q_norm",
        "qk-norm scores",
        (r"q_norm|norm",),
        INSIDE,
        "norm",
    ),
    Fault(
        "q_norm after the rotation",
        "qwen3 qwen3_moe gemma3",
        but(qk_norm="after"),
        ".self_attn.q_norm",
        "qk-norm scores",
        ("norm", "after|before"),
        INSIDE,
        "norm",
    ),
    Fault(
        "q_norm over all heads",
        "qwen3 gemma3",
        but(qk_norm="whole"),
        ".self_attn.q_norm",
        "qk-norm norm-scale scores",
        ("heads?",),
        MODULES,
        "norm",
    ),
    Fault(
        "norm after attention left out",
        "gemma2 gemma3",
        but(after_attention=""),
        ".post_attention_layernorm",
        "norm-missing",
        ("post_attention_layernorm",),
        MODULES,
    ),
    Fault(
        "norm after the feed-forward left out",
        "gemma2 gemma3",
        but(after_mlp=""),
        ".post_feedforward_layernorm",
        "norm-missing",
        ("post_feedforward_layernorm",),
        MODULES,
    ),
    Fault(
        "norm before the feed-forward left out",
        "llama glm4 gpt_neox deepseek_v3 qwen2_moe",
        lambda d: replace(d, without=frozenset({d.norm2})),
        ".post_attention_layernorm",
        "norm-missing",
        ("norm",),
        (),
    ),
    Fault(
        "both norms around: the one before left out",
        "gemma2 gemma3",
        lambda d: replace(d, without=frozenset({d.norm2})),
        ".pre_feedforward_layernorm",
        "norm-missing",
        ("norm",),
        (),
    ),
    Fault(
        "first norm left out",
        "llama phi3 glm4 gpt_neox deepseek_v3 qwen2_moe",
        but(without=frozenset({"input_layernorm"})),
        FIRST_NORM,
        "norm-missing",
        ("norm",),
        (),
    ),
    Fault(
        "final norm left out",
        "llama qwen3 gemma2 glm4 gpt_neox deepseek_v3",
        but(without=frozenset({"model.norm"})),
        "model.norm",
        "norm-missing",
        ("norm",),
        (),
    ),
    Fault(
        "final norm without its weight",
        "llama granite glm4 gpt_neox deepseek_v3",
        unweighted,
        "model.norm",
        "norm-scale",
        ("weight",),
        ALL,
    ),
)

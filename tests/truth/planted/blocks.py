"""Mistakes of feed-forward blocks, of the residual stream and of the logits."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.truth.decoder import Decoder, but
from tests.truth.families import tanh_gelu
from tests.truth.fault import ALL, MODULES, Fault, damaged, experts, scaled


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def identity(x: Tensor) -> Tensor:
    return x


def tied(decoder: Decoder) -> Decoder:
    return replace(decoder, head="model.embed_tokens")


FEED_FORWARD = (
    Fault(
        "down damaged",
        "llama gemma2 granite gemma3 gpt_neox",
        damaged("mlp.down_proj.weight", 0),
        ".mlp.down_proj",
        "",
        (),
        (),
    ),
    Fault("down scaled", "qwen3", scaled("mlp.down_proj.weight", 1.25), ".mlp.down_proj", "factor", (r"1\.25",)),
    Fault("exact gelu", "gemma2 gemma3", but(act=F.gelu), ".mlp.act_fn", "activation", ("gelu", "tanh"), MODULES),
    Fault(
        "quick gelu",
        "gemma2 gemma3",
        but(act=quick_gelu),
        ".mlp.act_fn",
        "activation",
        ("quick|1\\.702", "tanh"),
        MODULES,
    ),
    Fault("silu for gelu", "gemma2 gemma3", but(act=F.silu), ".mlp.act_fn", "activation", ("silu", "gelu"), MODULES),
    Fault("gelu for silu", "llama phi3", but(act=tanh_gelu), ".mlp.act_fn", "activation", ("silu", "gelu"), MODULES),
    Fault(
        "relu for silu",
        "qwen3 granite glm4 deepseek_v3",
        but(act=F.relu),
        ".mlp.act_fn",
        "activation",
        ("silu", "relu"),
        MODULES,
    ),
    Fault("no activation", "qwen3 glm4", but(act=identity), ".mlp.act_fn", "activation", ("silu",), MODULES),
    Fault(
        "activation on up",
        "llama qwen3",
        but(act_on_up=True),
        ".mlp.act_fn",
        "activation swapped-weights",
        ("up",),
        MODULES,
    ),
    Fault(
        "experts' weights not normalised",
        "qwen3_moe",
        experts(normalised=False),
        ".mlp.gate#1",
        "expert-weights",
        ("normalise",),
        MODULES,
    ),
    Fault(
        "experts' weights scaled",
        "qwen3_moe",
        experts(scaling=2.5),
        ".mlp.gate#1",
        "expert-weights factor",
        (r"2\.5",),
        MODULES,
    ),
    Fault(
        "sigmoid for softmax",
        "qwen3_moe",
        experts(scoring="sigmoid"),
        ".mlp.gate#1",
        "expert-weights",
        ("sigmoid",),
        (),
    ),
)

RESIDUAL = (
    Fault(
        "residual not multiplied",
        "granite",
        but(residual=1.0),
        ":attn_residual",
        "residual-factor",
        (r"0\.22", "residual_multiplier"),
        MODULES,
    ),
    Fault(
        "feed-forward not multiplied",
        "granite",
        but(mlp_residual=1.0),
        "",
        "residual-factor",
        (r"0\.22", "residual_multiplier"),
        MODULES,
    ),
    Fault(
        "residual of the norm",
        "llama qwen3 glm4 qwen2_moe",
        but(residual_of_norm=True),
        ":attn_residual",
        "residual-source",
        ("norm",),
        MODULES,
    ),
    Fault(
        "feed-forward not added",
        "llama qwen3 gemma3 glm4 gpt_neox deepseek_v3 qwen2_moe",
        but(mlp_residual=0.0),
        "",
        "residual-factor",
        ("mlp|adds",),
        MODULES,
    ),
    Fault(
        "parallel sublayers",
        "llama phi3 deepseek_v3",
        but(parallel=True),
        ".post_attention_layernorm",
        "residual-factor",
        ("0·self_attn",),
        MODULES,
    ),
)

LOGITS = (
    Fault("logits not divided", "granite", but(logit_scale=1.0), "logits", "factor", (r"\b8\b", "logits_scaling"), ALL),
    Fault(
        "logits not capped",
        "gemma2",
        but(logit_softcap=None),
        "logits",
        "softcap",
        (r"\b3\b", "final_logit_softcapping"),
        ALL,
    ),
    Fault(
        "another cap of the logits",
        "gemma2",
        but(logit_softcap=30.0),
        "logits",
        "softcap",
        (r"\b3\b", "final_logit_softcapping"),
        ALL,
    ),
    Fault(
        "head tied",
        "llama qwen3 glm4 gpt_neox deepseek_v3 qwen2_moe",
        tied,
        "lm_head",
        "tied-embeddings",
        ("embedding",),
        ALL,
    ),
)

"""More mistakes of norms, activations and the residual stream, of families that have norms after sublayers, too."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tests.truth.decoder import but, norm
from tests.truth.families import tanh_gelu
from tests.truth.fault import FIRST_NORM, MODULES, Fault, left_out, scaled


def clipped_silu(x: Tensor) -> Tensor:
    return F.silu(x.clamp(max=1.0))


STREAMS = (
    Fault("mean not taken off", "gpt_neox", norm(centred=False), FIRST_NORM, "norm-mean", ("mean",)),
    Fault(
        "bias of a norm left out", "gpt_neox", left_out("input_layernorm.bias"), FIRST_NORM, "bias norm-bias", ("bias",)
    ),
    Fault(
        "divided by the mean square", "llama qwen3 glm4", norm(squared=True), FIRST_NORM, "norm-scale", ("mean square",)
    ),
    Fault(
        "norm after attention left out",
        "glm4",
        but(after_attention=""),
        ".post_self_attn_layernorm",
        "norm-missing",
        ("post_self_attn_layernorm",),
        MODULES,
    ),
    Fault(
        "norm after the feed-forward left out",
        "glm4",
        but(after_mlp=""),
        ".post_mlp_layernorm",
        "norm-missing",
        ("post_mlp_layernorm",),
        MODULES,
    ),
    Fault(
        "norm of the sum",
        "glm4",
        but(norms_of_sums=True),
        ".post_self_attn_layernorm",
        "residual-factor norm-missing residual-source",
        ("sum|stream",),
        (),
    ),
    Fault(
        "one sublayer after the other",
        "gpt_neox",
        but(parallel=False),
        ".post_attention_layernorm",
        "residual-factor",
        ("1·self_attn|1·attention",),
        MODULES,
    ),
    Fault("residual of the norm", "gpt_neox", but(residual_of_norm=True), "", "residual-source", ("norm",), MODULES),
    Fault(
        "bias of the feed-forward left out",
        "gpt_neox",
        left_out("mlp.down_proj.bias"),
        ".mlp.down_proj",
        "bias",
        ("bias",),
        MODULES,
    ),
    Fault(
        "bias of all projections left out",
        "gpt_neox",
        left_out("self_attn.qkv_proj.bias"),
        ".self_attn.qkv_proj",
        "bias",
        ("bias",),
    ),
    Fault("tanh gelu", "gpt_neox", but(act=tanh_gelu), ".mlp.act", "activation", ("gelu", "tanh"), MODULES),
    Fault("relu for gelu", "gpt_neox", but(act=F.relu), ".mlp.act", "activation", ("relu", "gelu"), MODULES),
    Fault("gate and up added", "llama qwen3", but(up_added=True), ".mlp.act_fn", "activation", ("",), ()),
    Fault("gate clipped", "qwen3 glm4", but(act=clipped_silu), ".mlp.act_fn", "activation", ("",), ()),
    Fault(
        "sublayers scaled by depth",
        "llama glm4",
        but(residual=(2 * 3) ** -0.5),
        ":attn_residual",
        "residual-factor",
        (r"0\.408",),
        MODULES,
    ),
    Fault(
        "stream not scaled back",
        "deepseek_v3",
        but(residual=0.5),
        ":attn_residual",
        "residual-factor",
        (r"0\.5",),
        MODULES,
    ),
    Fault("up scaled", "gemma3 gpt_neox", scaled("mlp.down_proj.weight", 2.0), ".mlp.down_proj", "factor", ("2",), ()),
    Fault(
        "bias of o twice",
        "gpt_neox",
        scaled("self_attn.o_proj.bias", 2.0),
        ".self_attn.o_proj",
        "bias",
        ("bias",),
        MODULES,
    ),
    Fault("logits capped", "llama glm4 gpt_neox", but(logit_softcap=30.0), "logits", "softcap", (r"\b30\b",), MODULES),
    Fault("logits scaled", "qwen2_moe gpt_neox", but(logit_scale=0.125), "logits", "factor", (r"0\.125",), MODULES),
    Fault(
        "embedding scaled",
        "llama gpt_neox deepseek_v3",
        but(embed_scale=8.0),
        "model.embed_tokens",
        "factor",
        ("8",),
        MODULES,
    ),
    Fault(
        "damaged norm",
        "qwen3",
        scaled("post_attention_layernorm.weight", 0.9),
        ".post_attention_layernorm",
        "norm-scale factor",
        (r"0\.9",),
        MODULES,
    ),
)

"""Mistakes of matrices: transposed, swapped, in another order, without their biases."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.truth.decoder import Decoder, but
from tests.truth.fault import INSIDE, MODULES, OUTPUT, Fault, Q, damaged, left_out, scaled, swapped, transposed, weights


def rows_as_pairs(w: dict[str, Tensor], path: str) -> None:
    """Rows of q and k as a rotation of neighbours wants them."""
    for name in ("q", "k"):
        for key in (f"{path}self_attn.{name}_proj.weight", f"{path}self_attn.{name}_proj.bias"):
            if key in w:
                w[key] = w[key].view(-1, 2, 8, *w[key].shape[1:]).transpose(1, 2).reshape(w[key].shape)


def grouped(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Rows that lie by groups, cut as if they lay by kind."""
    G = decoder.groups
    parts = [torch.cat([t.view(*t.shape[:2], G, -1)[:, :, g] for t in (q, k, v)], -1) for g in range(G)]
    return _cut(decoder, torch.cat(parts, -1), (decoder.heads, G, G))


def keys_first(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    G = decoder.groups
    v, q, k = _cut(decoder, torch.cat((q, k, v), -1), (G, decoder.heads, G))
    return q, k, v


def _cut(decoder: Decoder, fused: Tensor, heads: tuple[int, ...]) -> tuple[Tensor, ...]:
    return torch.split(fused, [count * decoder.size for count in heads], -1)


def heads_reversed(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    return q.view(*q.shape[:2], decoder.heads, -1).flip(2).flatten(2), k, v


LINEAR = (
    Fault(
        "q transposed",
        "qwen3 granite gemma3 glm4 qwen2_moe",
        transposed("self_attn.q_proj.weight"),
        ".self_attn.q_proj",
        "transposed-weight scores",
        ("transposed",),
        topic="q_proj",
    ),
    Fault(
        "o transposed",
        "qwen3 gemma2 phi3 gemma3 glm4 gpt_neox qwen2_moe",
        transposed("self_attn.o_proj.weight"),
        OUTPUT,
        "transposed-weight",
        ("transposed",),
        ("full",),
    ),
    Fault(
        "k and v swapped",
        "qwen3 gemma2 gemma3 glm4 qwen2_moe",
        swapped("self_attn.k_proj", "self_attn.v_proj"),
        ".self_attn.k_proj",
        "swapped-weights",
        ("k_proj", "v_proj"),
    ),
    Fault(
        "gate and up swapped",
        "llama granite gemma3",
        swapped("mlp.gate_proj", "mlp.up_proj"),
        ".mlp.gate_proj",
        "swapped-weights",
        ("gate_proj", "up_proj"),
    ),
    Fault(
        "rows of q and k for pairs",
        "llama gemma2 gemma3 qwen2_moe",
        weights(rows_as_pairs),
        ".self_attn.q_proj",
        "rope-layout scores",
        ("pairs", "halves"),
        topic="q_proj",
    ),
    Fault(
        "biases left out",
        "llama glm4 qwen2_moe",
        left_out("self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"),
        ".self_attn.q_proj",
        "bias",
        ("bias",),
    ),
    Fault(
        "bias of k left out",
        "llama glm4 qwen2_moe",
        left_out("self_attn.k_proj.bias"),
        ".self_attn.k_proj",
        "bias scores",
        ("bias",),
        topic="q_proj",
    ),
    Fault("bias of o left out", "llama", left_out("self_attn.o_proj.bias"), OUTPUT, "bias", ("bias",), MODULES),
    Fault("bias of o added twice", "llama", scaled("self_attn.o_proj.bias", 2.0), OUTPUT, "bias", ("bias",), MODULES),
    Fault(
        "one matrix damaged",
        "llama qwen3 phi3 gemma3 glm4 gpt_neox",
        damaged("mlp.down_proj.weight", 1),
        ".mlp.down_proj",
        "",
        (),
        (),
        layer=1,
    ),
    Fault(
        "q scaled",
        "qwen3",
        scaled("self_attn.q_proj.weight", 0.25),
        ".self_attn.q_proj",
        "factor",
        (r"0\.25", "head_dim|1/4|√"),
    ),
    Fault(
        "heads of q reversed",
        "llama gemma2 glm4 qwen2_moe",
        but(cut=heads_reversed),
        Q,
        "kv-heads scores",
        ("order",),
        INSIDE,
        "order",
    ),
    Fault("qkv by groups", "phi3 llama", but(cut=grouped), Q, "fused-layout", ("group|rows|heads? of",), INSIDE),
    Fault("v first in qkv", "phi3", but(cut=keys_first), Q, "fused-layout", ("rows|heads? of|cut",), INSIDE),
    Fault(
        "up first in gate_up",
        "phi3 glm4",
        but(gate_up="up, gate"),
        ".mlp.down_proj",
        "fused-layout activation",
        ("gate",),
        (),
    ),
    Fault(
        "gate and up as neighbours",
        "phi3 glm4",
        but(gate_up="neighbours"),
        ".mlp.down_proj",
        "fused-layout activation",
        ("gate",),
        (),
    ),
    Fault(
        "heads merged as they lie",
        "llama qwen3 glm4 gpt_neox deepseek_v3",
        but(merged_as_they_lie=True),
        OUTPUT,
        "heads-merged",
        ("heads",),
        (),
        "heads",
    ),
)

"""Mistakes of the softmax, of its mask, and of which heads go together."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.truth.decoder import Decoder, attention, but, rope
from tests.truth.fault import HEADS, INSIDE, Fault, K, Q, one_weight, swapped, weights


def by_group_last(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Query heads as if a group's lay apart, not side by side."""
    G = decoder.groups
    return q.view(*q.shape[:2], -1, G, decoder.size).transpose(2, 3).flatten(2), k, v


def first_group_alone(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """All queries see the keys and values of the first group."""
    K = decoder.size
    return q, k[..., :K].repeat(1, 1, decoder.groups), v[..., :K].repeat(1, 1, decoder.groups)


def keys_for_values(w: dict[str, Tensor], path: str) -> None:
    """The matrix of the keys stands for that of the values too."""
    for kind in ("weight", "bias"):
        if (key := f"{path}self_attn.k_proj.{kind}") in w:
            w[f"{path}self_attn.v_proj.{kind}"] = w[key].clone()


SOFTMAX = (
    Fault(
        "powers of 2",
        "qwen3 gemma3 gpt_neox",
        attention(base=2.0),
        HEADS,
        "softmax-scale scores",
        (r"0\.693|scale",),
        ("full",),
        "scale",
    ),
    Fault(
        "scaled twice",
        "qwen3 glm4 gpt_neox",
        attention(scale=1 / 16),
        HEADS,
        "softmax-scale scores",
        (r"0\.0625", r"0\.25"),
        ("full",),
        "scale",
    ),
    Fault("capped twice", "gemma2", attention(caps=2), HEADS, "softcap scores", ("cap",), (), "cap"),
    Fault("softmax along the queries", "llama glm4 gpt_neox", attention(over_queries=True), HEADS, "", (), ()),
    Fault("hidden scores 0", "qwen3 gpt_neox", attention(hidden_as_zero=True), HEADS, "mask scores", ("mask",), (), ""),
    Fault("mask after the softmax", "llama glm4", attention(after_softmax=True), HEADS, "mask", ("mask",), ()),
    Fault(
        "softmax in bfloat16",
        "llama gemma3 gpt_neox",
        attention(dtype="bfloat16"),
        HEADS,
        "scores coarse",
        ("bfloat16",),
        (),
        "",
    ),
    Fault(
        "query heads by group",
        "llama qwen2_moe glm4",
        but(cut=by_group_last),
        Q,
        "kv-heads fused-layout scores",
        ("order|heads? of|q0",),
        INSIDE,
        "order",
    ),
    Fault(
        "first group alone",
        "llama glm4",
        but(cut=first_group_alone),
        K,
        "kv-heads fused-layout",
        ("k0|heads?",),
        INSIDE,
    ),
    Fault("keys' matrix for the values", "qwen3 llama", weights(keys_for_values), ".self_attn.v_proj", "", (), ()),
    Fault(
        "norms of q and k swapped",
        "qwen3 gemma3 qwen3_moe",
        swapped("self_attn.q_norm", "self_attn.k_norm"),
        ".self_attn.q_norm",
        "norm-scale scores qk-norm",
        ("weight|norm",),
        topic="norm",
    ),
    Fault(
        "norm of k alone left out",
        "qwen3 gemma3",
        but(without=frozenset({"k_norm"})),
        K,
        "qk-norm scores",
        ("norm",),
        INSIDE,
        "norm",
    ),
    Fault(
        "one base for all layers",
        "gemma3",
        rope(local_theta=None),
        Q,
        "rope-base scores",
        ("1,000,000", "10,000"),
        INSIDE,
        "RoPE",
    ),
    Fault(
        "bases of the other layers",
        "gemma3",
        rope(theta=10_000.0, local_theta=1_000_000.0),
        Q,
        "rope-base scores",
        ("1,000,000", "10,000"),
        INSIDE,
        "RoPE",
    ),
    Fault(
        "full attention one layer early",
        "gemma3",
        attention(windows=(5, None, 5)),
        HEADS,
        "window",
        ("window",),
        ("layers", "hooks", "qkv", "full"),
        layer=1,
    ),
    Fault(
        "window of the full layer",
        "gemma3",
        attention(windows=(5,)),
        HEADS,
        "window",
        (r"\b5\b", "window"),
        ("layers", "hooks", "qkv", "full"),
        layer=2,
    ),
    Fault(
        "positions from the end",
        "qwen3 glm4 deepseek_v3",
        rope(reversed=True),
        Q,
        "position-offset rope-direction scores",
        ("",),
        (),
        "RoPE|position",
    ),
    Fault(
        "another part of a head turned",
        "phi3 glm4 gpt_neox",
        rope(last=True),
        Q,
        "rope-partial scores",
        ("",),
        (),
        "RoPE",
    ),
    Fault("halves for pairs", "glm4", rope(pairs=False), Q, "rope-layout scores", ("pairs", "halves"), INSIDE, "RoPE"),
    Fault(
        "all of a head turned", "glm4", rope(share=1.0), Q, "rope-partial scores", (r"\b16\b", r"\b8\b"), INSIDE, "RoPE"
    ),
    Fault(
        "all of a head turned",
        "gpt_neox",
        rope(share=1.0),
        Q,
        "rope-partial scores",
        (r"\b16\b", r"\b4\b"),
        INSIDE,
        "RoPE",
    ),
    Fault(
        "rows of o reversed",
        "qwen3",
        one_weight("self_attn.o_proj.weight", lambda w: torch.flip(w, (0,))),
        ".self_attn.o_proj",
        "permuted-weight",
        ("order|rows",),
        (),
    ),
)

"""Mistakes of attention over latents."""

from __future__ import annotations

from tests.truth.decoder import attention, rope
from tests.truth.fault import HEADS, INSIDE, MODULES, Change, Fault, K, Q, latent, scaled


def deepseek(
    name: str,
    change: Change,
    place: str,
    hints: str,
    *words: str,
    named_in: tuple[str, ...] = INSIDE,
    topic: str = "RoPE",
) -> Fault:
    return Fault(name, "deepseek_v3", change, place, hints, words, named_in, topic)


LATENTS = (
    deepseek(
        "norm of the key-value latent left out",
        latent(normed=False),
        ".self_attn.kv_a_layernorm",
        "norm-missing",
        "kv_a_layernorm",
        named_in=MODULES,
    ),
    deepseek(
        "norm of the query latent left out",
        latent(query_normed=False),
        ".self_attn.q_a_layernorm",
        "norm-missing scores",
        "q_a_layernorm|norm",
        named_in=MODULES,
        topic="norm|q_proj|q_b_proj",
    ),
    deepseek("halves turned", rope(pairs=False), Q, "rope-layout scores", "pairs", "halves"),
    deepseek("keys not turned", rope(turned="q"), K, "rope-missing scores", "turn"),
    deepseek("queries not turned", rope(turned="k"), Q, "rope-missing scores", "turn"),
    deepseek(
        "the other end of q turned",
        latent(rope_first=True),
        Q,
        "rope-partial rope-layout fused-layout scores",
        "",
        named_in=(),
    ),
    deepseek("values before keys", latent(value_first=True), K, "fused-layout", "", named_in=()),
    deepseek(
        "scale of the part without positions",
        attention(scale=0.25),
        HEADS,
        "softmax-scale scores",
        r"0\.25",
        named_in=("full",),
        topic="scale",
    ),
    deepseek(
        "scale of the turned part",
        attention(scale=8**-0.5),
        HEADS,
        "softmax-scale scores",
        r"0\.353",
        named_in=("full",),
        topic="scale",
    ),
    deepseek(
        "key-value latent scaled",
        scaled("self_attn.kv_a_layernorm.weight", 0.5),
        ".self_attn.kv_a_layernorm",
        "norm-scale factor",
        r"0\.5",
        named_in=MODULES,
    ),
)

"""One layer of latent attention in numpy, recorded by hand, with a rotary embedding that turns adjacent pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.ui.tiny_llama import Array, Recorder
from tracetui.analysis.attention.call import causal, softmax
from tracetui.debugger.session import Module
from tracetui.recording.record import AttentionCall, Record

H, NOPE, ROPE, VALUE, R, V = 4, 8, 4, 6, 12, 97
SITE = "model.layers.0.self_attn"
SCALE = (NOPE + ROPE) ** -0.5


def forward(recorder: Recorder, wrong_absorbed: bool = False, wrong_heads: bool = False) -> Iterator[Record]:
    """The pass, record by record; on request a part of what is recorded is not what was computed."""
    rng = np.random.default_rng(5)
    batch, length = len(recorder.trace.tokens), len(recorder.trace.tokens[0])

    def drawn(*shape: int) -> Array:
        return rng.standard_normal(shape).astype(np.float32)

    angles = np.arange(length)[:, None] * np.array([1.0, 0.01])  # [T,rope/2]
    both = np.concatenate((angles, angles), axis=1).astype(np.float32)[None]  # [1,T,rope]
    yield recorder.add("model.rotary_emb", np.cos(both), "model")
    yield recorder.add("model.rotary_emb", np.sin(both), "model", part=1)
    projected, compressed = drawn(batch, length, H * (NOPE + ROPE)), drawn(batch, length, R + ROPE)
    yield recorder.add(f"{SITE}.q_b_proj", projected, SITE)  # [B,T,H·K]
    yield recorder.add(f"{SITE}.kv_a_proj_with_mqa", compressed, SITE)  # [B,T,R+rope]
    query = projected.reshape(batch, length, H, NOPE + ROPE).swapaxes(1, 2)  # [B,H,T,K]
    latent, rope = compressed[..., :R], _turned(compressed[:, None, :, R:], angles)  # [B,S,R] [B,1,S,rope]
    q = np.concatenate((query[..., :NOPE], _turned(query[..., NOPE:], angles)), axis=-1)  # [B,H,T,K]
    key_half, value_half = drawn(H, NOPE, R), drawn(H, VALUE, R)
    nope = np.einsum("bsr,hnr->bhsn", latent, key_half)  # [B,H,S,nope]
    k = np.concatenate((nope, np.broadcast_to(rope, (batch, H, length, ROPE))), axis=-1)  # [B,H,S,K]
    v = np.einsum("bsr,hvr->bhsv", latent, value_half)  # [B,H,S,Kv]
    attention = recorder.trace.attention
    assert isinstance(attention, dict)
    attention[f"{SITE}:q"] = AttentionCall(SCALE, True, "sdpa", heads=H, kv_heads=H)
    absorbed = np.einsum("bhtn,hnr->bhtr", q[..., :NOPE], key_half)  # [B,H,T,R]
    for role, array in (("q", q), ("k", k), ("v", v), ("kv_latent", latent), ("k_rope", rope[:, 0])):
        yield recorder.add(f"{SITE}:{role}", array, SITE)
    yield recorder.add(f"{SITE}:q_absorbed", absorbed * (2 if wrong_absorbed else 1), SITE)
    scores = q @ k.swapaxes(2, 3) * np.float32(SCALE)  # [B,H,T,S]
    heads = np.stack([[softmax(causal(one)) for one in row] for row in scores]) @ v  # [B,H,T,Kv]
    if wrong_heads:
        heads[:, 2] += 1
    yield recorder.add(f"{SITE}:heads", heads, SITE)
    yield recorder.add(SITE, drawn(batch, length, 32), "model.layers.0")
    yield recorder.add("logits", drawn(batch, length, V), "")


def _turned(rows: Array, angles: Array) -> Array:
    """Adjacent pairs [...,T,rope] turned by their angles [T,rope/2]."""
    turned = np.empty_like(rows)
    turned[..., 0::2] = rows[..., 0::2] * np.cos(angles) - rows[..., 1::2] * np.sin(angles)
    turned[..., 1::2] = rows[..., 1::2] * np.cos(angles) + rows[..., 0::2] * np.sin(angles)
    return turned


def own_attention(recorder: Recorder) -> Iterator[Record]:
    """A pass of a model whose attention module keeps its queries to itself."""
    rng = np.random.default_rng(5)
    for site in ("transformer.h.0.self_attention.dense", "transformer.h.0.self_attention", "transformer.h.0", "logits"):
        yield recorder.add(site, rng.standard_normal((1, 3, 8)).astype(np.float32), site.rpartition(".")[0])


def own_outline() -> Module:
    """Its tree, layers 0 and 1 alike on one line."""
    attention = Module("transformer.h.0–1.self_attention", "BloomAttention", 64)
    block = Module("transformer.h.0–1", "BloomBlock", 64, children=(attention,), indices=(0, 1))
    layers = Module("transformer.h", "ModuleList", 128, children=(block,))
    return Module("", "BloomForCausalLM", 128, children=(Module("transformer", "BloomModel", 128, children=(layers,)),))

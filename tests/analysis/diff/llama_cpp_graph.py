"""What llama.cpp's callback sees of a Llama, tensor by tensor and in its order, made of a trace of the same model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

Tensor = tuple[str, Array]
PADDED = 32
"""llama.cpp fills its cache up to a multiple, of 256 in fact."""


def graph(trace: Trace, flash: bool = False, last: bool = False, scaled: bool = False) -> list[Tensor]:
    """All tensors, names repeated as the graph has them.

    trace: with scores and probabilities. flash: without the scores and probabilities that this kernel doesn't make.
    last: of the last layer the last position alone. scaled: queries are scaled, as Gemma's, and not their scores.
    """
    layers = max(record.layer or 0 for record in trace.records) + 1
    tensors: list[Tensor] = [("embd", trace["model.embed_tokens"][0])]
    for layer in range(layers):
        tensors += _attention(trace, layer, flash, scaled)
        tensors += _cut(_after(trace, layer), last and layer == layers - 1)
    normed, weighed = _before_weight(trace["model.norm"][0]), trace["model.norm"][0]
    return [*tensors, *_cut([("norm", normed), ("result_norm", weighed), ("result_output", trace["lm_head"][0])], last)]


def last_wins(tensors: list[Tensor]) -> dict[str, Array]:
    """As a script keeps them that writes to a dict by name."""
    return dict(tensors)


def numbered(tensors: list[Tensor], mark: str = "#") -> dict[str, Array]:
    """As a script keeps them that numbers repeats."""
    kept: dict[str, Array] = {}
    for name, array in tensors:
        count = sum(key == name or key.startswith(f"{name}{mark}") for key in kept)
        kept[f"{name}{mark}{count}" if count else name] = array
    return kept


def counted(tensors: list[Tensor]) -> dict[str, Array]:
    """As a script keeps them that puts their number in front."""
    return {f"{place:04}_{name}": array for place, (name, array) in enumerate(tensors)}


def pairs(heads: Array) -> Array:
    """The halves of the last axis as adjacent pairs."""
    split = heads.reshape(*heads.shape[:-1], 2, -1)
    return np.ascontiguousarray(split.swapaxes(-1, -2)).reshape(heads.shape)


def _attention(trace: Trace, layer: int, flash: bool, scaled: bool) -> Iterator[Tensor]:
    path = f"model.layers.{layer}"
    module = f"{path}.self_attn"
    q, k, v = (trace[f"{module}:{role}"][0] for role in ("q", "k", "v"))  # [H,T,K] [G,T,K] [G,T,K]
    tokens, scale = q.shape[1], np.float32(q.shape[-1] ** -0.5)
    normed = trace[f"{path}.input_layernorm"][0]
    yield f"norm-{layer}", _before_weight(normed)
    yield f"attn_norm-{layer}", normed
    for name, part, rotated in (("Qcur", "q_proj", q), ("Vcur", "v_proj", v), ("Kcur", "k_proj", k)):
        projected = trace[f"{module}.{part}"][0]  # [T,H·K]
        heads = projected.reshape(tokens, -1, q.shape[-1])
        yield f"{name}-{layer}", projected if name == "Vcur" else pairs(heads).reshape(tokens, -1)
        yield f"{name}-{layer}", heads if name == "Vcur" else pairs(heads)
        if name != "Vcur":
            yield f"{name}-{layer}", pairs(rotated.swapaxes(0, 1)) * (scale if scaled and name == "Qcur" else 1)
    yield f"Kcur-{layer} (view)", pairs(k.swapaxes(0, 1)).reshape(tokens, -1)
    yield f"cache_k_l{layer} (view)", np.zeros((PADDED, k.shape[0] * k.shape[-1]), np.float16)
    yield f"Vcur-{layer} (reshaped)", v.swapaxes(0, 1).reshape(tokens, -1)
    yield f"Vcur-{layer} (reshaped) (reshaped)", v.swapaxes(0, 1).reshape(-1, 1)
    yield f"Qcur-{layer} (view)", pairs(q.swapaxes(0, 1))
    yield f"Qcur-{layer} (view) (permuted)", pairs(q)
    if not flash:
        scores = trace[f"{module}:scores"][0]
        yield f"kq-{layer}", _padded(scores if scaled else scores / scale)
        yield f"kq_soft_max-{layer}", _padded(trace[f"{module}:probs"][0])
        yield f"kqv-{layer}", trace[f"{module}:heads"][0]
        yield f"kqv-{layer} (permuted)", trace[f"{module}:heads"][0].swapaxes(0, 1)
    yield f"node_{layer}", normed
    yield f"kqv_out-{layer}", trace[f"{module}:heads"][0].swapaxes(0, 1).reshape(tokens, -1)
    yield f"attn_out-{layer}", trace[module][0]


def _after(trace: Trace, layer: int) -> Iterator[Tensor]:
    path = f"model.layers.{layer}"
    normed = trace[f"{path}.post_attention_layernorm"][0]
    yield f"ffn_inp-{layer}", trace[f"{path}:attn_residual"][0]
    yield f"norm-{layer}", _before_weight(normed)
    yield f"ffn_norm-{layer}", normed
    yield f"ffn_gate-{layer}", trace[f"{path}.mlp.gate_proj"][0]
    yield f"ffn_up-{layer}", trace[f"{path}.mlp.up_proj"][0]
    yield f"ffn_swiglu-{layer}", trace[f"{path}.mlp.down_proj:input"][0]
    yield f"ffn_out-{layer}", trace[f"{path}.mlp"][0]
    yield f"l_out-{layer}", trace[path][0]


def _cut(tensors: Iterator[Tensor] | list[Tensor], last: bool) -> Iterator[Tensor]:
    return ((name, array[-1] if last else array) for name, array in tensors)


def _before_weight(normed: Array) -> Array:
    """A weight that isn't 1, taken out again."""
    return normed / np.linspace(0.5, 1.5, normed.shape[-1], dtype=np.float32)


def _padded(scores: Array) -> Array:
    """[H,T,S] with keys that fill the cache up, which are 0."""
    return np.pad(scores, ((0, 0), (0, 0), (0, PADDED - scores.shape[-1])))

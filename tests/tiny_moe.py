"""A mixture-of-experts model in numpy, routed as DeepSeek-V3 or Qwen2-MoE do it, recorded by hand: no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tests.ui.tiny_llama import PROMPT, Array, Recorder, tokens_of
from tracetui.debugger.session import Module
from tracetui.recording.record import Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Value

D, V = 32, 97
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Family:
    """Which of two ways experts are chosen, and how many there are."""

    deepseek: bool = True
    layers: int = 3
    dense: int = 1
    """Layers before the first with experts."""
    experts: int = 16
    active: int = 4
    groups: int = 4
    groups_kept: int = 2
    scaling: float = 2.5

    @property
    def config(self) -> dict[str, object]:
        common = {"hidden_size": D, "num_hidden_layers": self.layers, "num_experts_per_tok": self.active}
        if self.deepseek:
            own = {"n_routed_experts": self.experts, "n_shared_experts": 1}
            return {**common, **own, "n_group": self.groups, "topk_group": self.groups_kept}
        return {**common, "num_experts": self.experts, "shared_expert_intermediate_size": D}


DEEPSEEK = Family()
QWEN = Family(deepseek=False)


@dataclass(frozen=True, eq=False)
class Routed:
    """What a router makes of N tokens."""

    logits: Array
    scores: Array
    selection: Array
    bias: Array | None
    experts: Ints
    weights: Array


def deepseek(x: Array, gate: Array, bias: Array, family: Family) -> Routed:
    """Sigmoid, bias, the best groups by their two best experts, the best experts, weights normalised and scaled."""
    logits = x @ gate  # [N,E]
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)  # [N,E]
    biased = scores + bias  # [N,E]
    grouped = biased.reshape(len(x), family.groups, -1)  # [N,G,E/G]
    best = np.sort(grouped, axis=2)[:, :, -2:].sum(axis=2)  # [N,G]
    kept = np.argsort(-best, axis=1)[:, : family.groups_kept]  # [N,kept]
    masked = np.ones_like(best, np.bool_)  # [N,G]
    np.put_along_axis(masked, kept, False, axis=1)
    selection = np.where(np.repeat(masked, grouped.shape[2], axis=1), np.float32(-np.inf), biased)  # [N,E]
    experts = np.argsort(-selection, axis=1, kind="stable")[:, : family.active]  # [N,A]
    weights = np.take_along_axis(scores, experts, axis=1)  # [N,A]
    weights = weights / weights.sum(axis=1, keepdims=True) * np.float32(family.scaling)
    return Routed(logits, scores, selection, bias, experts, weights)


def qwen(x: Array, gate: Array, family: Family) -> Routed:
    """Softmax, the best experts, their probabilities as weights."""
    logits = x @ gate  # [N,E]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = powers / powers.sum(axis=1, keepdims=True)  # [N,E]
    experts = np.argsort(-scores, axis=1, kind="stable")[:, : family.active]  # [N,A]
    return Routed(logits, scores, scores, None, experts, np.take_along_axis(scores, experts, axis=1))


def empty_recorder(family: Family, tokens: tuple[tuple[Token, ...], ...]) -> Recorder:
    records: list[Record] = []
    values: list[Value] = []
    run = RunInfo("tiny-moe", {"prompt": PROMPT}, family.config, "words")
    return Recorder(Trace(run, tokens, records, values, {}, complete=False), records, values)


def forward(recorder: Recorder, family: Family, seed: int = 0) -> Iterator[Record]:
    """The forward pass record by record: layers of norms and blocks, each block with its residual."""
    rng = np.random.default_rng(seed)
    tokens = recorder.trace.tokens
    longest = max(map(len, tokens))
    ids = np.array([[token.id % V for token in row] + [0] * (longest - len(row)) for row in tokens])  # [B,T]
    embedding = _weight(rng, V, D)
    x = embedding[ids]  # [B,T,D]
    yield recorder.add("model.embed_tokens", x, "model")
    for layer in range(family.layers):
        path = f"model.layers.{layer}"
        yield recorder.add(f"{path}:input", x, path)
        mixed: Array = np.cumsum(x, axis=1, dtype=np.float32) / np.arange(1, longest + 1, dtype=np.float32)[:, None]
        yield recorder.add(f"{path}.self_attn", mixed, path)
        x = x + mixed / 8
        yield recorder.add(f"{path}:attn_residual", x, path)
        normed: Array = x / np.sqrt((x**2).mean(-1, keepdims=True))
        if layer < family.dense:
            out = normed @ _weight(rng, D, D)
            yield recorder.add(f"{path}.mlp", out, path)
        else:
            yield from block(recorder, family, rng, normed, f"{path}.mlp")
            out = np.asarray(recorder.trace[f"{path}.mlp"])
        x = x + out
        yield recorder.add(path, x, "model")
    logits = x @ embedding.T  # [B,T,V]
    yield recorder.add("logits", logits, "")


def block(recorder: Recorder, family: Family, rng: np.random.Generator, x: Array, path: str) -> Iterator[Record]:
    """One block's records in the order in which a session has them; x is [B,T,D]."""
    flat = x.reshape(-1, D)  # [N,D]
    gate = _weight(rng, D, family.experts)
    bias = (rng.standard_normal(family.experts) * 0.05).astype(np.float32)
    routed = deepseek(flat, gate, bias, family) if family.deepseek else qwen(flat, gate, family)
    yield recorder.add(f"{path}:router_logits", routed.logits, path)
    yield recorder.add(f"{path}:router_scores", routed.scores, path)
    yield recorder.add(f"{path}:selection_scores", routed.selection, path)
    if routed.bias is not None:
        yield recorder.add(f"{path}:selection_bias", routed.bias, path)
    yield recorder.add(f"{path}:experts", routed.experts, path)
    yield recorder.add(f"{path}:routing_weights", routed.weights, path)
    total = np.zeros_like(flat)  # [N,D]
    matrices = [_weight(rng, D, D) for _ in range(family.experts)]
    for expert in np.unique(routed.experts).tolist():
        tokens, slots = np.nonzero(routed.experts == expert)  # [n] [n]
        out = np.tanh(flat[tokens] @ matrices[expert])  # [n,D]
        yield recorder.add(f"{path}.experts.{expert}:tokens", tokens, f"{path}.experts")
        yield recorder.add(f"{path}.experts.{expert}:in", flat[tokens], f"{path}.experts")
        yield recorder.add(f"{path}.experts.{expert}", out, f"{path}.experts")
        total[tokens] += out * routed.weights[tokens, slots][:, None]
    shared = np.tanh(flat @ _weight(rng, D, D))  # [N,D]
    if family.deepseek:
        yield recorder.add(f"{path}.shared_experts", shared.reshape(x.shape), path)
    else:
        opened = flat @ _weight(rng, D, 1)  # [N,1]
        yield recorder.add(f"{path}.shared_expert", shared, path)
        yield recorder.add(f"{path}.shared_expert_gate", opened, path)
        shared = shared / (1 + np.exp(-opened))
    yield recorder.add(path, (total + shared).reshape(x.shape), path.rpartition(".")[0])


def whole_trace(family: Family = DEEPSEEK, lengths: tuple[int, ...] = (17,), seed: int = 0) -> Recorder:
    """A finished pass over prompts of those many tokens."""
    tokens = tuple(tokens_of(PROMPT)[:length] for length in lengths)
    recorder = empty_recorder(family, tokens)
    for _ in forward(recorder, family, seed):
        pass
    return recorder


def outline(family: Family) -> Module:
    """The module tree."""
    layers = tuple(_layer(f"model.layers.{i}", family, i >= family.dense) for i in range(family.layers))
    inner = (Module("model.embed_tokens", "Embedding", V * D), Module("model.layers", "ModuleList", 0, (), layers))
    return Module("", "DeepseekV3ForCausalLM", 0, (), (Module("model", "DeepseekV3Model", 0, (), inner),))


def _layer(path: str, family: Family, sparse: bool) -> Module:
    names = ("gate", "experts", "shared_experts" if family.deepseek else "shared_expert") if sparse else ()
    parts = tuple(Module(f"{path}.mlp.{name}", "DeepseekV3", 0) for name in names)
    mlp = Module(f"{path}.mlp", "DeepseekV3MoE" if sparse else "DeepseekV3MLP", 0, (), parts)
    return Module(path, "DeepseekV3DecoderLayer", 0, (), (Module(f"{path}.self_attn", "Attention", 0), mlp))


def _weight(rng: np.random.Generator, rows: int, columns: int) -> Array:
    weights: Array = (rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32)
    return weights

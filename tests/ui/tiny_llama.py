"""A two-layer llama in numpy, recorded by hand: real numbers for the screen to show, and no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from tracetui.analysis.attention.call import causal, softmax
from tracetui.analysis.checkpoint import span
from tracetui.debugger.session import Module
from tracetui.recording.record import AttentionCall, Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue, Value

Array = npt.NDArray[np.float32]

LAYERS, D, H, G, K, F, V = 2, 32, 4, 2, 8, 48, 97
CONFIG = {
    "hidden_size": D,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": H,
    "num_key_value_heads": G,
    "head_dim": K,
    "intermediate_size": F,
    "vocab_size": V,
}
PROMPT = "the answer to the ultimate question of life, the universe, and everything is "
WORDS = (
    "<|begin_of_text|>", "the", " answer", " to", " the", " ultimate", " question", " of", " life", ",", " the",
    " universe", ",", " and", " everything", " is", " ",
)  # fmt: skip
NOTES = ("random weights predict nothing: the next tokens below mean nothing",)


@dataclass
class Recorder:
    """Grows a trace the way a session does: children before their parent."""

    trace: Trace
    records: list[Record] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def add(self, site: str, array: npt.NDArray[np.generic], parent: str, part: int = 0) -> Record:
        role = ":" in site
        inside = site.replace(".layers.", ".").count(".") + (2 if role else 1)
        record = Record(
            index=len(self.records),
            site=site,
            shape=array.shape,
            dtype=str(array.dtype),
            depth=0 if site == "logits" else inside,
            parent=parent,
            part=part,
            seconds=None if role else 0.0013 * (1 + len(self.records) % 5),
            provenance="random" if site.endswith(("proj", "norm", "embed_tokens", "lm_head", "layernorm")) else "",
        )
        self.values.append(ArrayValue(array))
        self.records.append(record)
        return record


def tokens_of(prompt: str) -> tuple[Token, ...]:
    """The walk-through's 17 tokens, or one a word for any other prompt."""
    words = WORDS if prompt == PROMPT else ("<|begin_of_text|>", *(f" {word}" for word in prompt.split(" ")))
    return tuple(Token(i, word.encode(errors="replace"), special=i == 0) for i, word in enumerate(words))


def empty_recorder(*prompts: str) -> Recorder:
    """A trace without records, its prompts tokenised, each a row; the walk-through's unless given."""
    prompts = prompts or (PROMPT,)
    records: list[Record] = []
    values: list[Value] = []
    run = RunInfo("llama3-2layer", {"prompt": prompts[0]}, CONFIG, "words", {}, NOTES)
    trace = Trace(run, tuple(map(tokens_of, prompts)), records, values, {}, complete=False)
    return Recorder(trace, records, values)


def forward(recorder: Recorder, seed: int = 0) -> Iterator[Record]:
    """The forward pass, record by record, as they are completed."""
    rng = np.random.default_rng(seed)
    rows = recorder.trace.tokens
    longest = max(map(len, rows))
    ids = np.array([[token.id % V for token in row] + [0] * (longest - len(row)) for row in rows])  # [B,T]
    embedding = _weight(rng, V, D)
    x = embedding[ids]  # [B,T,D]
    yield recorder.add("model.embed_tokens", x, "model")
    for layer in range(LAYERS):
        for step in _layer(recorder, rng, x, f"model.layers.{layer}"):
            if isinstance(step, Record):
                yield step
            else:
                x = step
    x = _norm(x)
    yield recorder.add("model.norm", x, "model")
    yield recorder.add("model", x, "")
    logits = x @ embedding.T  # [B,T,V]
    yield recorder.add("lm_head", logits, "")
    yield recorder.add("logits", logits, "")


def _layer(recorder: Recorder, rng: np.random.Generator, x: Array, path: str) -> Iterator[Record | Array]:
    yield recorder.add(f"{path}:input", x, path)
    normed = _norm(x)
    yield recorder.add(f"{path}.input_layernorm", normed, path)
    attended = None
    for step in _attention(recorder, rng, normed, f"{path}.self_attn"):
        if isinstance(step, Record):
            yield step
        else:
            attended = step
    assert attended is not None
    x = x + attended
    yield recorder.add(f"{path}:attn_residual", x, path)
    normed = _norm(x)
    yield recorder.add(f"{path}.post_attention_layernorm", normed, path)
    gate, up = normed @ _weight(rng, D, F), normed @ _weight(rng, D, F)  # [B,T,F]
    yield recorder.add(f"{path}.mlp.gate_proj", gate, f"{path}.mlp")
    act = gate / (1 + np.exp(-gate))
    yield recorder.add(f"{path}.mlp.act_fn", act, f"{path}.mlp")
    yield recorder.add(f"{path}.mlp.up_proj", up, f"{path}.mlp")
    down = (act * up) @ _weight(rng, F, D)  # [B,T,D]
    yield recorder.add(f"{path}.mlp.down_proj", down, f"{path}.mlp")
    yield recorder.add(f"{path}.mlp", down, path)
    x = x + down
    yield recorder.add(path, x, "model")
    yield x


def _attention(recorder: Recorder, rng: np.random.Generator, x: Array, path: str) -> Iterator[Record | Array]:
    query, key, value = x @ _weight(rng, D, H * K), x @ _weight(rng, D, G * K), x @ _weight(rng, D, G * K)
    yield recorder.add(f"{path}.q_proj", query, path)  # [B,T,H·K]
    yield recorder.add(f"{path}.k_proj", key, path)  # [B,T,G·K]
    yield recorder.add(f"{path}.v_proj", value, path)  # [B,T,G·K]
    q, k, v = _heads(query, H), _heads(key, G), _heads(value, G)
    scale = K**-0.5
    attention = recorder.trace.attention
    assert isinstance(attention, dict)
    attention[f"{path}:q"] = AttentionCall(scale, True, "sdpa", heads=H, kv_heads=G)
    yield recorder.add(f"{path}:q", q, path)
    yield recorder.add(f"{path}:k", k, path)
    yield recorder.add(f"{path}:v", v, path)
    shared_k, shared_v = np.repeat(k, H // G, axis=1), np.repeat(v, H // G, axis=1)  # [B,H,S,K]
    scores: Array = q @ shared_k.swapaxes(-1, -2) * np.float32(scale)  # [B,H,T,S]
    probs = np.stack([[softmax(causal(head)) for head in row] for row in scores]).astype(np.float32)  # [B,H,T,S]
    heads = probs @ shared_v  # [B,H,T,K]
    yield recorder.add(f"{path}:heads", heads, path)
    out = (heads.swapaxes(1, 2).reshape(query.shape) @ _weight(rng, H * K, D)).astype(np.float32)  # [B,T,D]
    yield recorder.add(f"{path}.o_proj", out, path)
    yield recorder.add(path, out, path.rpartition(".")[0])
    yield out


def _heads(projected: Array, heads: int) -> Array:
    """[B,T,H·K] → [B,H,T,K]."""
    batch, length, width = projected.shape
    return projected.reshape(batch, length, heads, width // heads).swapaxes(1, 2)


def _weight(rng: np.random.Generator, rows: int, columns: int) -> Array:
    weights: Array = (rng.standard_normal((rows, columns)) * 2.5 / np.sqrt(rows)).astype(np.float32)
    return weights


def _norm(x: Array) -> Array:
    normed: Array = x / np.sqrt((x**2).mean(-1, keepdims=True) + np.float32(1e-5))
    return normed


def outline(skipped: int = 0) -> Module:
    """The module tree, with that many skipped layers after the two that run."""
    layers = tuple(_layer_module(str(i)) for i in range(LAYERS))
    if skipped:
        indices = tuple(range(LAYERS, LAYERS + skipped))
        layer = _layer_module(span(indices))
        layers = (*layers, replace(layer, parameters=skipped * layer.parameters, skipped=True, indices=indices))
    embed = Module("model.embed_tokens", "Embedding", V * D, (("weight", (V, D)),))
    inner = (
        embed,
        Module("model.layers", "ModuleList", sum(layer.parameters for layer in layers), (), layers),
        Module("model.norm", "LlamaRMSNorm", D, (("weight", (D,)),)),
        Module("model.rotary_emb", "LlamaRotaryEmbedding", 0),
    )
    model = Module("model", "LlamaModel", sum(child.parameters for child in inner), (), inner)
    head = Module("lm_head", "Linear", V * D, (("weight", (V, D)),))
    return Module("", "LlamaForCausalLM", model.parameters + head.parameters, (), (model, head))


def _layer_module(index: str) -> Module:
    path = f"model.layers.{index}"
    attention = tuple(
        _linear(f"{path}.self_attn.{n}", r) for n, r in zip("qkvo", (H * K, G * K, G * K, D), strict=True)
    )
    mlp = (
        _linear(f"{path}.mlp.gate_proj", F),
        _linear(f"{path}.mlp.up_proj", F),
        Module(f"{path}.mlp.down_proj", "Linear", F * D, (("weight", (D, F)),)),
        Module(f"{path}.mlp.act_fn", "SiLUActivation", 0),
    )
    children = (
        Module(f"{path}.self_attn", "LlamaAttention", sum(m.parameters for m in attention), (), attention),
        Module(f"{path}.mlp", "LlamaMLP", sum(m.parameters for m in mlp), (), mlp),
        Module(f"{path}.input_layernorm", "LlamaRMSNorm", D, (("weight", (D,)),)),
        Module(f"{path}.post_attention_layernorm", "LlamaRMSNorm", D, (("weight", (D,)),)),
    )
    return Module(path, "LlamaDecoderLayer", sum(m.parameters for m in children), (), children)


def _linear(path: str, rows: int) -> Module:
    name = path if path.endswith("_proj") else f"{path}_proj"
    return Module(name, "Linear", rows * D, (("weight", (rows, D)),))

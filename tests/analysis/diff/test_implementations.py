"""One tiny Llama in other people's code, names and layouts: the same numbers are recognised, and faults still found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.diff import plants
from tests.analysis.diff.made import trace_of
from tests.expr.made import made
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.mapping.rules import Rules, read_rules
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_call

HEADS, GROUPS, SIZE, WIDTH, EPS = 4, 2, 8, 32, 1e-6


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


class Attention(nn.Module):
    """Adjacent pairs are turned, as complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.wq = nn.Linear(WIDTH, HEADS * SIZE, bias=False)
        self.wk = nn.Linear(WIDTH, GROUPS * SIZE, bias=False)
        self.wv = nn.Linear(WIDTH, GROUPS * SIZE, bias=False)
        self.wo = nn.Linear(HEADS * SIZE, WIDTH, bias=False)

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        q, k, v = (
            part(x).view(batch, tokens, -1, SIZE) for part in (self.wq, self.wk, self.wv)
        )  # [B,T,H,K] [B,T,G,K] [B,T,G,K]
        q, k = (self._turned(part, turn) for part in (q, k))
        k, v = (part.repeat_interleave(HEADS // GROUPS, dim=2) for part in (k, v))  # [B,T,H,K]
        scores = torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(SIZE)
        scores = scores + torch.full((tokens, tokens), -math.inf).triu(1)
        heads = torch.einsum("bhts,bshk->bthk", scores.softmax(-1), v)
        out: torch.Tensor = self.wo(heads.reshape(batch, tokens, -1))
        return out

    @staticmethod
    def _turned(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * turn[:, None]
        return torch.view_as_real(pairs).flatten(-2)


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Linear(WIDTH, 48, bias=False)
        self.w2 = nn.Linear(48, WIDTH, bias=False)
        self.w3 = nn.Linear(WIDTH, 48, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.w2(nn.functional.silu(self.w1(x)) * self.w3(x))
        return out


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(), FeedForward()
        self.attention_norm, self.ffn_norm = Norm(), Norm()

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), turn)
        return torch.as_tensor(x + self.feed_forward(self.ffn_norm(x)))


class Transformer(nn.Module):
    """A Llama with Meta's names."""

    def __init__(self) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(61, WIDTH)
        self.layers = nn.ModuleList(Block() for _ in range(2))
        self.norm = Norm()
        self.output = nn.Linear(WIDTH, 61, bias=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        x = self.tok_embeddings(input_ids)
        angles = torch.outer(torch.arange(x.shape[1]), 1e4 ** (-torch.arange(0, SIZE, 2) / SIZE))
        turn = torch.polar(torch.ones_like(angles), angles)
        for layer in self.layers:
            x = layer(x, turn)
        out: torch.Tensor = self.output(self.norm(x))
        return out


def _paired(weight: torch.Tensor) -> torch.Tensor:
    """Rows of q or k for pairs, from those for halves."""
    return weight.view(-1, 2, SIZE // 2, WIDTH).transpose(1, 2).reshape(weight.shape)


def meta(source: Any, halves: bool = False) -> Transformer:
    """Meta's Llama with a transformers model's weights; `halves` leaves q's and k's rows as they are."""
    model = Transformer().eval()
    from tracetui.models.checkpoints.meta_names import meta_name

    state = {}
    for name, tensor in source.state_dict().items():
        turned = ("q_proj" in name or "k_proj" in name) and not halves
        state[str(meta_name(name))] = _paired(tensor) if turned else tensor
    model.load_state_dict(state)
    return model


def ids() -> torch.Tensor:
    return (torch.randperm(60, generator=torch.Generator().manual_seed(7))[: plants.TOKENS] + 1)[None]


@pytest.fixture(scope="module")
def hugging_face() -> Trace:
    return plants.traced(plants.llama())


def test_meta_s_llama_is_the_same_model(hugging_face: Trace) -> None:
    other = record_call(meta(plants.llama()), input_ids=ids())
    for a, b in ((hugging_face, other), (other, hugging_face)):
        found = report(a, b)
        assert found.comparison.same, found.first
        sites = {site.pair.record.site_in_layer: site for site in found.comparison.sites}
        assert len(found.comparison.sites) >= 24
        assert "RoPE" in sites[".self_attn.q_proj"].laid_out
        assert sites[".self_attn.v_proj"].laid_out == ""


def test_rows_that_were_not_permuted_are_found_across_names(hugging_face: Trace) -> None:
    found = report(record_call(meta(plants.llama(), halves=True), input_ids=ids()), hugging_face)
    assert found.first is not None
    assert found.first.site == "model.layers.0.self_attn:q"
    assert found.first.pair.a.record.site == "layers.0.attention:q"


def _llama_cpp(trace: Trace) -> dict[str, Array]:
    """What a dump of llama.cpp's graph holds: no batch axis, heads after tokens, its own names; newer graphs."""
    found: dict[str, Array] = {"inp_embd": trace["model.embed_tokens"][0]}
    for layer in range(2):
        path = f"model.layers.{layer}"
        attention = f"{path}.self_attn"
        heads = {name: trace[f"{attention}:{role}"][0].swapaxes(0, 1) for name, role in (("Qcur", "q"), ("Kcur", "k"))}
        found |= {
            f"attn_norm-{layer}": trace[f"{path}.input_layernorm"][0],
            **{f"{name}-{layer}": _pairs(array) for name, array in heads.items()},
            f"Vcur-{layer}": trace[f"{attention}.v_proj"][0],
            f"kqv_out-{layer}": trace[f"{attention}:heads"][0].swapaxes(0, 1).reshape(plants.TOKENS, -1),
            f"attn_out-{layer}": trace[attention][0],
            f"ffn_inp-{layer}": trace[f"{path}:attn_residual"][0],
            f"ffn_norm-{layer}": trace[f"{path}.post_attention_layernorm"][0],
            f"ffn_gate-{layer}": trace[f"{path}.mlp.gate_proj"][0],
            f"ffn_up-{layer}": trace[f"{path}.mlp.up_proj"][0],
            f"ffn_out-{layer}": trace[f"{path}.mlp"][0],
            f"l_out-{layer}": trace[path][0],
        }
    return {**found, "result_norm": trace["model.norm"][0], "result_output": trace["lm_head"][0, -1:]}


def _pairs(heads: Array) -> Array:
    split = heads.reshape(*heads.shape[:-1], 2, -1)
    return np.ascontiguousarray(split.swapaxes(-1, -2)).reshape(heads.shape)


@pytest.mark.parametrize("order", ["as run", "sorted"])
def test_a_dump_of_llama_cpp_s_graph(hugging_face: Trace, order: str) -> None:
    arrays = _llama_cpp(hugging_face)
    arrays = arrays if order == "as run" else dict(sorted(arrays.items()))
    found = report(hugging_face, trace_of(arrays, dump=True))
    assert found.comparison.same, found.first
    assert found.comparison.compared == len(arrays)
    arrays["ffn_up-1"] = arrays["ffn_up-1"] * np.float32(1.5)
    arrays["l_out-1"] = arrays["l_out-1"] + 1
    found = report(hugging_face, trace_of(arrays, dump=True))
    assert found.first is not None
    assert found.first.site == "model.layers.1.mlp.up_proj"
    assert found.feeds is not None
    assert found.feeds.agree


def test_two_dumps_of_unordered_files(hugging_face: Trace) -> None:
    arrays = _llama_cpp(hugging_face)
    other = {name: array + (name == "ffn_norm-0" or name.startswith("attn_norm-1")) for name, array in arrays.items()}
    a, b = (trace_of(dict(sorted(side.items())), dump=True) for side in (arrays, other))
    found = report(a, b)
    assert found.first is not None
    assert found.first.pair.a.record.site == "ffn_norm-0"


def _fused(trace: Trace) -> dict[str, Array]:
    parts = ("q_proj", "k_proj", "v_proj")
    found = {}
    for record in trace.records:
        if record.site.endswith(".q_proj"):
            arrays = [trace[record.site.replace("q_proj", part)] for part in parts]
            found[record.site.replace("q_proj", "qkv_proj")] = np.concatenate(arrays, axis=-1)
        elif not record.site.endswith(parts):
            found[record.site] = trace[record.site]
    return found


@pytest.mark.parametrize("swapped", [False, True])
def test_q_k_and_v_in_one(hugging_face: Trace, swapped: bool) -> None:
    fused = _fused(hugging_face)
    first, second = trace_of(fused), hugging_face
    found = report(second, first) if swapped else report(first, second)
    assert found.comparison.same, found.first
    assert any(site.site == "model.layers.1.self_attn.k_proj" for site in found.comparison.sites)
    fused["model.layers.1.self_attn.qkv_proj"][..., 40] += 1
    found = report(second, trace_of(fused))
    assert found.first is not None
    assert found.first.site == "model.layers.1.self_attn.k_proj"


MAP = """
strip_b = ["net/"]

[[site]]
a = "model.layers.{n}.self_attn:q"
b = "net/b{n}/queries"
layout = "axes 0 2 1 3"

[[site]]
a = ["model.layers.{n}.mlp.gate_proj", "model.layers.{n}.mlp.up_proj"]
b = "net/b{n}/wide"

[[site]]
a = "model.layers.{n}"
b = "net/b{n}"
"""


def _own(trace: Trace) -> dict[str, Array]:
    found = {"net/model.embed_tokens": trace["model.embed_tokens"]}
    for layer in range(2):
        path = f"model.layers.{layer}"
        parts = [trace[f"{path}.mlp.{part}"] for part in ("gate_proj", "up_proj")]
        found |= {
            f"net/b{layer}/queries": trace[f"{path}.self_attn:q"].swapaxes(1, 2).copy(),
            f"net/b{layer}/wide": np.concatenate(parts, axis=-1),
            f"net/b{layer}": trace[path],
        }
    return found


def test_a_user_s_own_map(hugging_face: Trace, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(MAP)
    rules = read_rules(tmp_path / "map.toml")
    arrays = _own(hugging_face)
    found = report(hugging_face, trace_of(arrays, dump=True), rules)
    assert found.comparison.same, found.first
    assert found.comparison.compared == 9
    arrays["net/b1/wide"][..., 50] += 1
    found = report(hugging_face, trace_of(arrays, dump=True), rules)
    assert found.first is not None
    assert found.first.site == "model.layers.1.mlp.up_proj"


def _foreign(trace: Trace) -> Trace:
    names = {
        f"model.layers.{layer}.{inner}": f"trunk/block_{layer}/{name}"
        for layer in range(2)
        for inner, name in (
            ("self_attn.q_proj", "mha/query"),
            ("self_attn.k_proj", "mha/key"),
            ("self_attn.v_proj", "mha/value"),
            ("mlp.up_proj", "ff/fc1"),
        )
    }
    return trace_of({name: trace[site][0] for site, name in names.items()}, dump=True)


def test_names_are_guessed_only_when_asked(hugging_face: Trace) -> None:
    def run(fuzzy: bool) -> Report:
        return report(hugging_face, _foreign(hugging_face), Rules(), fuzzy=fuzzy)

    plain, guessed = run(False), run(True)
    assert plain.comparison.compared == 0
    assert not plain.comparison.same
    assert len(plain.proposals) == 8
    assert all(
        proposal.b.rpartition("/")[2][0] in proposal.a.rpartition(".")[2] + "fkqv" for proposal in plain.proposals
    )
    assert guessed.comparison.same, guessed.first
    assert guessed.comparison.compared == 8


def test_a_mask_is_what_it_hides_and_shared_heads_may_be_repeated() -> None:
    """Eager attention hides by the lowest number, a port by -inf; and a port repeats key-value heads."""
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(1, 2, 5, 4)).astype(np.float32)  # [B,G,S,K]
    shown = np.tri(5, dtype=np.bool_)[None, None]  # [B,1,T,S]
    lowest = np.where(shown, np.float32(0), np.finfo(np.float32).min)
    a = made(("layers.0.self_attn:k", keys), ("layers.0.self_attn:mask", lowest))
    masks = (shown, np.where(shown, np.float32(0), np.float32(-np.inf)))
    for mask in masks:
        b = made(("layers.0.self_attn:k", keys.repeat(3, axis=1)), ("layers.0.self_attn:mask", mask))
        assert report(a, b).comparison.same
        assert report(b, a).comparison.same
    hidden = shown.copy()
    hidden[..., 3, 1] = False
    turned = keys.repeat(3, axis=1)
    turned[0, 4, 2] += 1
    b = made(("layers.0.self_attn:k", turned), ("layers.0.self_attn:mask", hidden))
    for found in (report(a, b), report(b, a)):
        assert [site.pair.record.role for site in found.comparison.different] == [
            "k",
            "mask",
        ]

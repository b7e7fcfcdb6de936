"""Dumps of llama.cpp's graph, by whatever script: the same where they are, and a fault where it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from tests.analysis.diff import plants
from tests.analysis.diff.llama_cpp_graph import Tensor, counted, graph, last_wins, numbered
from tests.analysis.diff.made import trace_of
from tracetui.analysis.diff.folding import folded
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.mapping.ggml import graph_name
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_module

Keep = Callable[[list[Tensor]], dict[str, Array]]


@pytest.fixture(scope="module")
def trace() -> Trace:
    ids = torch.randperm(60, generator=torch.Generator().manual_seed(7))[: plants.TOKENS] + 1
    inputs = {"input_ids": ids[None], "use_cache": False}
    return record_module(plants.llama(), (), inputs, matrices=("scores", "probs"))


def compared(tensors: list[Tensor], trace: Trace, keep: Keep = last_wins) -> Report:
    return report(trace_of(keep(tensors), dump=True), trace)


@pytest.mark.parametrize("keep", [last_wins, numbered, partial(numbered, mark="_"), counted])
@pytest.mark.parametrize(("flash", "last", "scaled"), [(0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0)])
def test_a_right_dump_is_the_same_by_whatever_script(
    trace: Trace, keep: Keep, flash: bool, last: bool, scaled: bool
) -> None:
    tensors = graph(trace, flash, last, scaled)
    if scaled:
        tensors = [(name, array) for name, array in tensors if not name.startswith("Qcur")]
    made = compared(tensors, trace, keep)
    assert made.comparison.same, made.first
    assert not made.proposals
    assert not made.wrong_pairs
    alone = folded(made.comparison.alignment.only_a, frozenset())
    assert [re.sub(r"^\d+_", "", name) for name in alone] == ["norm-0–1", "norm"]
    sites = {site.pair.record.site_in_layer: site for site in made.comparison.sites}
    if not flash:
        assert "first 12 keys" in sites[".self_attn:scores"].laid_out
        assert ("times" in sites[".self_attn:scores"].laid_out) != bool(scaled)
        assert "first 12 keys" in sites[".self_attn:probs"].laid_out
    assert graph_name(sites[".self_attn:k"].pair.a.record.key) == ("Kcur", 1, ())


@pytest.mark.parametrize("keep", [last_wins, numbered])
@pytest.mark.parametrize(
    ("names", "site"),
    [
        (("Kcur-1",), "model.layers.1.self_attn:k"),
        (("kq-1",), "model.layers.1.self_attn:scores"),
        (("kq_soft_max-1",), "model.layers.1.self_attn:probs"),
        (("kqv-1", "kqv_out-1"), "model.layers.1.self_attn:heads"),
        (("ffn_swiglu-0",), "model.layers.0.mlp.down_proj:input"),
        (("result_norm",), "model.norm"),
    ],
)
def test_a_fault_is_told_at_its_place(trace: Trace, keep: Keep, names: tuple[str, ...], site: str) -> None:
    random = np.random.default_rng(0)
    last = {name: place for place, (name, _) in enumerate(graph(trace))}
    tensors = [
        (
            name,
            array + random.normal(size=array.shape).astype(np.float32)
            if name in names and last[name] == place
            else array,
        )
        for place, (name, array) in enumerate(graph(trace))
    ]
    made = compared(tensors, trace, keep)
    assert made.first is not None
    assert made.first.site == site
    assert not made.proposals


def test_another_scale_shows_in_the_probabilities(trace: Trace) -> None:
    """llama.cpp scales in its softmax, so that its products tell nothing of the scale."""
    wrong = [(name, np.sqrt(array) if name == "kq_soft_max-0" else array) for name, array in graph(trace)]
    made = compared(wrong, trace)
    assert made.first is not None
    assert made.first.site == "model.layers.0.self_attn:probs"


def half(array: Array) -> Array:
    return array.astype(np.float16).astype(np.float64)


def flash_heads(trace: Trace, layer: int) -> Array:
    """[T,H·K] as ggml_compute_forward_flash_attn_ext_f16 of llama.cpp's processor code makes it, row by row."""
    module = f"model.layers.{layer}.self_attn"
    q, k, v = (half(trace[f"{module}:{role}"][0]) for role in ("q", "k", "v"))
    groups, made = len(q) // len(k), np.zeros_like(q)
    for head, token in np.ndindex(*q.shape[:2]):
        top, total, row = -np.inf, 0.0, np.zeros(q.shape[-1])
        for key in range(token + 1):
            score = q[head, token] @ k[head // groups, key] * q.shape[-1] ** -0.5
            scale, weight = 1.0, 1.0
            if score > top:
                scale, top = np.exp(top - score), score
                row = half(row * scale)
            else:
                weight = np.exp(score - top)
            row = half(row + v[head // groups, key] * weight)
            total = total * scale + weight
        made[head, token] = row / total
    return made.swapaxes(0, 1).reshape(q.shape[1], -1).astype(np.float32)


def with_heads(trace: Trace, heads: Array) -> list[Tensor]:
    return [(name, heads if name == "kqv_out-0" else array) for name, array in graph(trace, flash=True)]


@pytest.mark.parametrize("keep", [last_wins, numbered])
def test_flash_attention_in_float16_is_told_as_such(trace: Trace, keep: Keep) -> None:
    made = compared(with_heads(trace, flash_heads(trace, 0)), trace, keep)
    assert made.first is not None
    assert made.first.site == "model.layers.0.self_attn:heads"
    assert [hint.name for hint in made.hints] == ["half-precision"]
    assert made.hints[0].title.startswith("A computes attention in float16: flash attention")


def test_a_cache_in_float16_shows_in_the_scores(trace: Trace) -> None:
    q, k = (half(trace[f"model.layers.0.self_attn:{role}"][0]) for role in ("q", "k"))
    scores = (q @ k.repeat(len(q) // len(k), axis=0).swapaxes(1, 2)).astype(np.float32)
    padded = np.pad(scores, ((0, 0), (0, 0), (0, 20)))
    made = compared([(name, padded if name == "kq-0" else array) for name, array in graph(trace)], trace)
    assert made.first is not None
    assert made.first.site == "model.layers.0.self_attn:scores"
    assert [hint.name for hint in made.hints] == ["half-precision"]


@pytest.mark.parametrize("fault", ["noise", "factor"])
def test_another_fault_of_the_heads_is_not_float16(trace: Trace, fault: str) -> None:
    heads = trace["model.layers.0.self_attn:heads"][0].swapaxes(0, 1).reshape(plants.TOKENS, -1)
    noise = np.random.default_rng(0).normal(size=heads.shape).astype(np.float32)
    made = compared(
        with_heads(trace, heads * (1 + 5e-4 * noise) if fault == "noise" else heads * np.float32(1.01)), trace
    )
    assert made.first is not None
    assert "half-precision" not in [hint.name for hint in made.hints]

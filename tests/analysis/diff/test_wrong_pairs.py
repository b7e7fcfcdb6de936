"""Values decide between candidates of one shape, and a pair that can't be one is told before anything is blamed."""

from __future__ import annotations

import pytest
import torch

from tests.analysis.diff import plants
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.views.diff.report import diff_lines, verdict

_OWN = {
    ":input": "in", ".input_layernorm": "norm1", ".self_attn.q_proj": "q_proj", ".self_attn.v_proj": "v_proj",
    ".self_attn.o_proj": "attn_out", ":attn_residual": "mid", ".post_attention_layernorm": "norm2", ".mlp": "ff",
    "": "out",
}  # fmt: skip


@pytest.fixture(scope="module")
def trace() -> Trace:
    return plants.traced(plants.llama())


def _port(trace: Trace, stem: str, middle: str = "mid") -> dict[str, Array]:
    """The trace's own values under names of somebody's own."""
    found = {}
    for record in trace.records:
        own = _OWN.get(record.site_in_layer) if record.layer is not None else None
        if own is not None:
            found[f"{stem}{record.layer}.{middle if own == 'mid' else own}"] = trace.value(record).read()
    return found


def _told(found: Report) -> str:
    return " ".join(" ".join(diff_lines(found, ("a", "b"))).split())


@pytest.mark.parametrize("stem", ["blocks.", "h_", "decoder/block_"])
@pytest.mark.parametrize("middle", ["mid", "resid_mid", "h_attn", "x_attn", "after_attention", "ffn_in"])
def test_a_right_port_is_the_same_whatever_it_calls_things(trace: Trace, stem: str, middle: str) -> None:
    found = report(trace_of(_port(trace, stem, middle), dump=True), trace, fuzzy=True)
    assert found.comparison.same
    names = {site.pair.a.record.key: site.site for site in found.comparison.sites}
    assert names[f"{stem}1.{middle}"] == "model.layers.1:attn_residual"


def test_the_stream_and_a_sublayer_are_told_apart_where_both_have_a_fault(trace: Trace) -> None:
    port = {name: value * 1.5 if name >= "blocks.1.norm2" else value for name, value in _port(trace, "blocks.").items()}
    port["blocks.1.mid"] = port["blocks.1.mid"] * 1.5
    found = report(trace_of(port, dump=True), trace, fuzzy=True)
    names = {site.pair.a.record.key: site.site for site in found.comparison.sites}
    assert names["blocks.1.mid"] == "model.layers.1:attn_residual"
    assert not found.comparison.same


def test_a_pair_that_differs_while_what_follows_agrees_is_a_wrong_pair() -> None:
    shared = {"l_out-0": normal(5, 8), "result_output": normal(5, 9, seed=2)}
    a = trace_of({**shared, "norm": normal(5, 8, seed=3)}, dump=True)
    names = {
        "model.layers.0": shared["l_out-0"],
        "model.norm": normal(5, 8, seed=1),
        "lm_head": shared["result_output"],
    }
    found = report(a, trace_of(names, dump=True))
    assert found.first is None
    assert found.comparison.same
    assert "wrong pair norm in A is not model.norm in B" in _told(found)


def test_a_fault_that_goes_on_is_no_wrong_pair() -> None:
    shared = {"l_out-0": normal(5, 8)}
    a = trace_of({**shared, "norm": normal(5, 8, seed=3), "result_output": normal(5, 9, seed=4)}, dump=True)
    names = {"model.layers.0": shared["l_out-0"], "model.norm": normal(5, 8, seed=1), "lm_head": normal(5, 9, seed=2)}
    found = report(a, trace_of(names, dump=True))
    assert not found.wrong_pairs
    assert found.first is not None
    assert found.first.site == "model.norm"


def test_known_names_on_both_sides_are_never_a_wrong_pair() -> None:
    a = {"model.layers.0.mlp": normal(5, 8), "model.layers.0": normal(5, 8, seed=2)}
    found = report(trace_of(a), trace_of({**a, "model.layers.0.mlp": normal(5, 8, seed=1)}))
    assert not found.wrong_pairs
    assert found.first is not None


def test_llama_cpps_norm_before_its_weight_is_not_the_models() -> None:
    states, weight = normal(5, 8), torch.linspace(0.5, 2, 8).numpy()
    a = {"embd": normal(5, 8, seed=1), "l_out-0": normal(5, 8, seed=2), "norm": states, "result_norm": states * weight}
    b = {"model.embed_tokens": a["embd"], "model.layers.0": a["l_out-0"], "model.norm": states * weight}
    found = report(trace_of(a, dump=True), trace_of(b))
    assert found.comparison.compared == 3
    assert verdict(found).startswith("Same")


def test_hook_points_of_transformer_lens_are_known(trace: Trace) -> None:
    places = {":attn_residual": "hook_resid_mid", "": "hook_resid_post", ".self_attn:heads": "attn.hook_z"}
    arrays = {}
    for record in trace.records:
        if record.site_in_layer in places and record.layer is not None:
            value = trace.value(record).read()
            laid = value.swapaxes(1, 2) if value.ndim == 4 else value  # [B,T,H,K]
            arrays[f"blocks.{record.layer}.{places[record.site_in_layer]}"] = laid
    found = report(trace_of(arrays, dump=True), trace)
    assert found.comparison.same
    assert found.comparison.compared == len(arrays)

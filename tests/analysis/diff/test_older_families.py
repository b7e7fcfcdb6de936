"""A BLOOM with three heads in somebody's own modules, named as GPT-2 does, and what its whole model returns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BloomConfig, BloomForCausalLM

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_call
from tracetui.views.diff.report import verdict

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
WIDTH, HEADS, SIZE = 24, 3, 8


@dataclass
class Faults:
    slopes: tuple[float, ...] = (2**-4, 2**-8, 2**-2)
    scale: float = 1.0
    keeps_stream: bool = True
    by_kind: bool = False


class Attention(nn.Module):
    def __init__(self, theirs: Any, faults: Faults) -> None:
        super().__init__()
        self.c_attn, self.c_proj, self.faults = (
            copy.deepcopy(theirs.query_key_value),
            copy.deepcopy(theirs.dense),
            faults,
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = hidden.shape
        fused = self.c_attn(hidden)
        if self.faults.by_kind:
            q, k, v = (part.view(batch, tokens, HEADS, SIZE) for part in fused.chunk(3, -1))
        else:
            q, k, v = fused.view(batch, tokens, HEADS, 3, SIZE).unbind(3)  # [B,T,H,K]
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))  # [B,H,T,K]
        distance = torch.arange(tokens)[None] - torch.arange(tokens)[:, None]
        scores = q @ k.mT * SIZE**-0.5 + torch.tensor(self.faults.slopes)[:, None, None] * distance  # [B,H,T,S]
        probs = scores.masked_fill(distance > 0, float("-inf")).softmax(-1)
        made: torch.Tensor = self.c_proj((probs @ v).transpose(1, 2).flatten(2))
        return made


class FeedForward(nn.Module):
    def __init__(self, theirs: Any) -> None:
        super().__init__()
        self.c_fc, self.c_proj = copy.deepcopy(theirs.dense_h_to_4h), copy.deepcopy(theirs.dense_4h_to_h)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.c_proj(nn.functional.gelu(self.c_fc(hidden), approximate="tanh"))
        return made


class Block(nn.Module):
    def __init__(self, theirs: Any, faults: Faults) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = copy.deepcopy(theirs.input_layernorm), copy.deepcopy(theirs.post_attention_layernorm)
        self.attn, self.mlp = Attention(theirs.self_attention, faults), FeedForward(theirs.mlp)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = hidden + self.attn(self.ln_1(hidden))
        added: torch.Tensor = hidden + self.mlp(self.ln_2(hidden))
        return added


class Port(nn.Module):
    """Its norm of embeddings has a name that nobody knows."""

    def __init__(self, theirs: BloomForCausalLM, faults: Faults) -> None:
        super().__init__()
        inner = theirs.transformer
        self.transformer = nn.ModuleDict(
            {
                "wte": copy.deepcopy(inner.word_embeddings),
                "ln_emb": copy.deepcopy(inner.word_embeddings_layernorm),
                "h": nn.ModuleList(Block(layer, faults) for layer in inner.h),
                "ln_f": copy.deepcopy(inner.ln_f),
            }
        )
        self.output, self.faults = copy.deepcopy(theirs.lm_head), faults

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        parts: Any = self.transformer
        hidden = parts["ln_emb"](parts["wte"](ids))
        for layer in parts["h"]:
            hidden = layer(hidden)
        logits: torch.Tensor = self.output(parts["ln_f"](hidden))
        return logits * self.faults.scale


@pytest.fixture(scope="module")
def model() -> BloomForCausalLM:
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=64, hidden_size=WIDTH, n_layer=2, n_head=HEADS, initializer_range=0.2)
    model = BloomForCausalLM(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def reference(model: BloomForCausalLM) -> Trace:
    return record_call(model, input_ids=IDS)


def _ported(model: BloomForCausalLM, reference: Trace, **faults: Any) -> Report:
    return report(record_call(Port(model, Faults(**faults)).eval(), IDS), reference)


def test_a_right_port_under_gpt2s_names_is_the_same(model: BloomForCausalLM, reference: Trace) -> None:
    told = _ported(model, reference)
    assert told.comparison.same, verdict(told)
    compared = {(site.pair.a.record.key, site.pair.b.record.key) for site in told.comparison.sites}
    assert {
        ("transformer.h.0.attn.c_attn", "transformer.h.0.self_attention.query_key_value"),
        ("transformer.h.1.mlp", "transformer.h.1.mlp.dense_4h_to_h"),
        ("transformer.h.1.attn:heads", "transformer.h.1.self_attention:heads"),
        ("output", "logits"),
    } <= compared


@pytest.mark.parametrize("swapped", [False, True])
def test_sublayers_that_add_the_stream_are_never_held_against_those_that_do_not(
    model: BloomForCausalLM, reference: Trace, swapped: bool
) -> None:
    port = record_call(Port(model, Faults()).eval(), IDS)
    told = report(reference, port) if swapped else report(port, reference)
    assert told.comparison.same, verdict(told)


def test_slopes_of_a_bias_are_named_by_head(model: BloomForCausalLM, reference: Trace) -> None:
    told = _ported(model, reference, slopes=(2**-4, 2**-8, 2**-3))
    assert told.first is not None
    assert told.first.site == "transformer.h.0.attn:position_bias"
    assert [hint.name for hint in told.hints] == ["position-bias"]
    assert "in 1 of 3 heads" in told.hints[0].title
    assert "head 2: 0.125 in A, 0.25 in B" in told.hints[0].evidence


def test_a_fused_projection_cut_otherwise_is_found_where_it_is_cut(model: BloomForCausalLM, reference: Trace) -> None:
    told = _ported(model, reference, by_kind=True)
    assert told.first is not None
    assert told.first.site.startswith("transformer.h.0.attn:")
    assert not any(hint.name == "position-bias" for hint in told.hints)


def test_logits_scaled_behind_a_head_called_output_differ(model: BloomForCausalLM, reference: Trace) -> None:
    told = _ported(model, reference, scale=0.125)
    assert told.first is not None
    assert (told.first.pair.a.record.key, told.first.pair.b.record.key) == ("output", "logits")
    assert [hint.name for hint in told.hints] == ["factor"]
    assert len(told.comparison.different) == 1


def test_a_bias_for_all_queries_stands_beside_one_for_each(model: BloomForCausalLM, reference: Trace) -> None:
    told = _ported(model, reference)
    bias = next(site for site in told.comparison.sites if site.site.endswith("h.0.attn:position_bias"))
    shapes = bias.pair.a.record.shape, bias.pair.b.record.shape
    assert shapes == ((1, HEADS, 7, 7), (1, HEADS, 1, 7))
    assert bias.distance is not None
    assert bias.distance.relative < 1e-6


def test_what_a_model_returns_is_missed_where_a_dump_lacks_it() -> None:
    """Its head agrees, and what is made of that nobody knows."""
    arrays = {"model.layers.0": normal(1, 3, 4), "model.norm": normal(1, 3, 4, seed=1), "lm_head": normal(1, 3, 9)}
    whole = trace_of({**arrays, "logits": arrays["lm_head"] * 2})
    assert verdict(report(trace_of(arrays, dump=True), whole)).endswith(
        "all within tolerance; logits, what B returned, isn't among them."
    )
    same = trace_of(arrays)
    record = replace(same.records[-1], index=len(same.records), site="logits")
    returned = replace(same, records=(*same.records, record), values=(*same.values, same.values[-1]))
    assert verdict(report(trace_of(arrays, dump=True), returned)).endswith("all within tolerance.")


def _kept(model: BloomForCausalLM) -> dict[str, Array]:
    """What hooks keep of each module's output."""
    seen: dict[str, Array] = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, args: object, out: object) -> None:
            out = out[0] if isinstance(out, tuple) else out
            if name and isinstance(out, torch.Tensor):
                seen[name] = out.numpy().copy()

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules()]
    with torch.no_grad():
        model(IDS)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    "names", ["mlp", "self_attention dense", "mlp dense_h_to_4h", "self_attention mlp", "mlp dense input_layernorm"]
)
def test_some_of_the_modules_of_one_model_are_held_against_the_same_ones(
    model: BloomForCausalLM, reference: Trace, names: str
) -> None:
    """That a sublayer adds the stream shows in no value where the stream wasn't kept: its name tells."""
    kept = {name: array for name, array in _kept(model).items() if name.rpartition(".")[2] in names.split()}
    told = report(trace_of(kept, dump=True), reference)
    assert told.comparison.same, verdict(told)
    assert told.comparison.compared == len(kept)
    site = f"transformer.h.1.{names.split()[0]}"
    found = report(trace_of({**kept, site: kept[site] * 2}, dump=True), reference)
    assert [each.site for each in found.comparison.different] == [site]

"""llama.cpp rounds what it multiplies with quantised weights: no fault, and no excuse for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.analysis.diff import plants
from tests.analysis.diff.llama_cpp_graph import Tensor, graph, last_wins, numbered
from tests.analysis.diff.made import trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.analysis.diff.rounding.noise import Verdict, measure_noise
from tracetui.analysis.diff.survey import survey
from tracetui.formats.graph_log import PrintedTensor
from tracetui.models.weights.weight_prints import print_of
from tracetui.recording.dumps.graph_log import PrintedValue
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_module
from tracetui.views.diff.as_json import diff_json
from tracetui.views.diff.noise import noise_verdict
from tracetui.views.diff.report import diff_lines, verdict

Plant = Callable[[Any], None]
Rounding = Callable[[torch.Tensor], torch.Tensor]
Keep = Callable[[list[Tensor]], dict[str, Array]]
Q_PROJ = "model.layers.0.self_attn.q_proj"


def blocks(x: torch.Tensor, size: int = 32) -> torch.Tensor:
    """As quantize_row_q8_0 of ggml rounds, and its products read it."""
    split = nn.functional.pad(x, (0, -x.shape[-1] % size))
    split = split.reshape(*x.shape[:-1], -1, size)
    step = split.abs().amax(-1, keepdim=True) / 127
    rounded = (split / step.clamp_min(1e-30)).round() * step.half().float()
    return rounded.reshape(*x.shape[:-1], -1)[..., : x.shape[-1]]


def traced(model: Any) -> Trace:
    ids = torch.randperm(60, generator=torch.Generator().manual_seed(7))[: plants.TOKENS] + 1
    return record_module(model, (), {"input_ids": ids[None], "use_cache": False}, matrices=("scores", "probs"))


def reference(model: Any, provenance: str) -> Trace:
    """The model's trace, which remembers where its matrices came from."""
    prints = {name: print_of(parameter.detach(), provenance) for name, parameter in model.named_parameters()}
    return replace(traced(model), weights=prints)


def rounded(model: Any, rounding: Rounding | None) -> Any:
    """The model, whose products round their inputs first."""

    def multiply(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(rounding(x).float() if rounding else x, linear.weight, linear.bias)

    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.forward = partial(multiply, module)  # type: ignore[method-assign]
    return model


def compared(
    plant: Plant | None = None,
    rounding: Rounding | None = blocks,
    provenance: str = "dequantised Q8_0",
    keep: Keep = numbered,
    dtype: torch.dtype | None = None,
) -> Report:
    """A dump of llama.cpp's, with a fault or none, beside the trace; `dtype` is what the weights are rounded to."""
    right, model = plants.llama(), plants.llama()
    for parameter in (*right.parameters(), *model.parameters()):
        parameter.data = parameter.data.to(dtype or torch.float32).float()
    rounded(model, rounding)
    if plant is not None:
        plant(model)
    return report(trace_of(keep(graph(traced(model))), dump=True), reference(right, provenance))


def test_rounded_inputs_are_told_as_such() -> None:
    made = compared()
    assert made.first is not None
    assert made.first.site == Q_PROJ
    assert made.finding is not None
    assert (product := made.finding.rounded) is not None
    assert (product.side, product.rounding.weights) == ("A", "Q8_0")
    assert 0.5 < product.apart / product.expected < 2
    assert not made.at_fault
    assert not made.hints
    assert made.beyond is None
    assert "Q8_0 weights with inputs rounded to 8 bits in blocks of 32" in verdict(made)
    assert "Nothing later is further apart" in verdict(made)
    shown = " ".join(" ".join(diff_lines(made, ("theirs", "ours"))).split())
    assert "its inputs agree, and A, llama.cpp, rounds them to 8 bits in blocks of 32" in shown
    assert "the fault" not in shown
    told = json.loads("".join(diff_json(made)))
    assert (told["at_fault"], told["rounded_inputs"]["beyond"]) == (False, None)
    assert survey(made).made == frozenset()


@pytest.mark.parametrize(
    ("provenance", "rounding", "dtype", "words"),
    [
        ("dequantised Q4_1", blocks, None, "8 bits in blocks of 32"),
        ("dequantised Q4_K", partial(blocks, size=256), None, "8 bits in blocks of 256"),
        ("dequantised", blocks, None, "8 bits in blocks of 32"),
        ("file", torch.Tensor.half, torch.float16, "float16"),
        ("file", torch.Tensor.bfloat16, torch.bfloat16, "bfloat16"),
    ],
)
def test_the_weights_type_tells_how(provenance: str, rounding: Rounding, dtype: torch.dtype, words: str) -> None:
    made = compared(None, rounding, provenance, dtype=dtype)
    assert made.finding is not None
    assert made.finding.rounded is not None
    assert made.finding.rounded.rounding.words == words
    assert made.beyond is None


def test_a_script_that_keeps_the_last_of_each_name_has_heads_alone() -> None:
    made = compared(keep=last_wins)
    assert made.finding is not None
    assert made.finding.site.site == "model.layers.0.self_attn:q"
    assert made.finding.rounded is not None


def test_weights_in_float32_excuse_nothing() -> None:
    made = compared(provenance="file")
    assert made.finding is not None
    assert made.finding.rounded is None
    assert made.at_fault


def test_inputs_that_nobody_rounded_are_the_same() -> None:
    assert compared(rounding=None).comparison.same


def _bias(layer: int, size: float) -> Plant:
    def plant(model: Any) -> None:
        projection = model.model.layers[layer].self_attn.q_proj
        projection.bias = nn.Parameter(size * torch.randn(32, generator=torch.Generator().manual_seed(1)))

    return plant


def _times(layer: int, module: str, factor: float, rows: int | None = None) -> Plant:
    def plant(model: Any) -> None:
        model.model.layers[layer].get_submodule(module).weight.data[:rows] *= factor

    return plant


def _heads_reversed(layer: int) -> Plant:
    def plant(model: Any) -> None:
        weight = model.model.layers[layer].self_attn.q_proj.weight.data
        weight.copy_(weight.unflatten(0, (-1, 8)).flip(0).flatten(0, 1))

    return plant


def _scale(layer: int) -> Plant:
    def plant(model: Any) -> None:
        model.model.layers[layer].self_attn.scaling *= 2

    return plant


def _epsilon(model: Any) -> None:
    model.model.layers[0].input_layernorm.variance_epsilon = 1e-4


def _gelu(model: Any) -> None:
    model.model.layers[0].mlp.act_fn = nn.GELU()


@pytest.mark.parametrize(
    ("plant", "site"),
    [
        (_bias(0, 0.5), "self_attn.q_proj"),
        (_bias(0, 0.02), "self_attn.q_proj"),
        (_heads_reversed(0), "self_attn.q_proj"),
        (_times(0, "self_attn.q_proj", 1.01), "self_attn.q_proj"),
        (_times(0, "self_attn.q_proj", 1.1, 8), "self_attn.q_proj"),
        (_times(0, "self_attn.q_proj", 1.03, 8), "self_attn.q_proj"),
        (_epsilon, "input_layernorm"),
    ],
)
def test_a_fault_of_the_first_product_stays_one(plant: Plant, site: str) -> None:
    made = compared(plant)
    assert made.first is not None
    assert made.first.site == f"model.layers.0.{site}"
    assert made.at_fault
    assert "no fault" not in verdict(made)


@pytest.mark.parametrize(
    ("plant", "site"),
    [
        (_bias(1, 0.5), "1.self_attn.q_proj"),
        (_heads_reversed(1), "1.self_attn.q_proj"),
        (_times(1, "self_attn.q_proj", 1.3), "1.self_attn.q_proj"),
        (_times(1, "mlp.down_proj", 1.2), "1.mlp"),
        (_scale(0), "0.self_attn:scores"),
        (_scale(1), "1.self_attn:scores"),
        (_gelu, "0.mlp.down_proj:input"),
    ],
)
def test_a_larger_fault_further_on_is_named_beyond_it(plant: Plant, site: str) -> None:
    made = compared(plant)
    assert made.finding is not None
    assert made.finding.rounded is not None
    assert made.beyond is not None
    assert made.beyond.site.site == f"model.layers.{site}"
    assert made.beyond.at_fault
    assert f"First beyond what that explains: model.layers.{site}, " in verdict(made)
    assert f"model.layers.{site}" in survey(made).made


def test_noise_is_no_word_against_it() -> None:
    noise = measure_noise(compared(), "B", traced(plants.llama().double()))
    of = noise.of(Q_PROJ)
    assert of is not None
    assert of.verdict is Verdict.ROUNDED
    assert not noise.suspects
    assert noise_verdict(noise).startswith("no fault: llama.cpp rounds what it multiplies at model.layers.0.self_attn")


def _logged(trace: Trace) -> Trace:
    """As a text log has a dump: the ends of each tensor's axes to four decimals."""
    values = []
    for record, value in zip(trace.records, trace.values, strict=True):
        array = value.read()
        ends = array[np.ix_(*(sorted({*range(min(3, n)), *range(max(0, n - 3), n)}) for n in array.shape))]
        printed = PrintedTensor(
            record.site, "float32", array.shape, np.round(ends, 4).astype(np.float64), float(array.sum())
        )
        values.append(PrintedValue(printed))
    return replace(trace, values=tuple(values))


@pytest.mark.parametrize("plant", [None, _times(0, "self_attn.q_proj", 1.2)])
def test_a_text_log_tells_as_much(plant: Plant | None) -> None:
    model = rounded(plants.llama(), blocks)
    if plant is not None:
        plant(model)
    dump = trace_of(numbered(graph(traced(model))), dump=True)
    made = report(_logged(dump), reference(plants.llama(), "dequantised Q8_0"))
    assert made.first is not None
    assert made.first.site == Q_PROJ
    assert made.at_fault == (plant is not None)
    assert ("A log has too few values" in verdict(made)) == (plant is None)


def test_known_faults_beyond_it_are_told() -> None:
    made = compared(_bias(1, 0.5))
    assert made.beyond is not None
    assert [hint.name for hint in made.beyond.hints] == ["bias"]
    shown = "\n".join(diff_lines(made, ("theirs", "ours")))
    assert "More than that rounding makes: model.layers.1.self_attn.q_proj" in shown
    assert "A bias is left out" in shown

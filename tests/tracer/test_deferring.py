"""What is described later is the same trace as what is described at once."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from tests.tracer.latent_models import tiny
from tests.tracer.mixture_models import tiny_mixture
from tests.tracer.models import prompt, tiny_gemma2, tiny_gpt_oss, tiny_llama, tiny_llama4, tiny_mistral
from tests.tracer.recipes import recipe
from tests.tracer.test_readable import Odd, nested, quantised
from tests.tracer.tiers import differences, recorded
from tracetui.debugger.session import until_end
from tracetui.expr.edit_log import EditLog
from tracetui.expr.edit_parse import parse_edit
from tracetui.expr.stop import DEFAULT_STOPS, parse_stop
from tracetui.models.cache_argument import CACHE
from tracetui.models.weights.sampled_prints import SampledPrints
from tracetui.models.weights.streaming import Weights
from tracetui.native import library
from tracetui.native.statistics import first_not_finite
from tracetui.recipe import Generation
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.call import record_call, record_module
from tracetui.tracer.capture import snapshots
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.capture.snapshots import Snapshots
from tracetui.tracer.capture.values import TorchValue
from tracetui.tracer.deferred.pass_log import PassLog
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.generation.decoding import Decoder
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass
from tracetui.tracer.hooks.recording_observer import RecordingObserver
from tracetui.tracer.run import trace_recipe

MODELS: dict[str, Callable[[], Any]] = {
    "llama": tiny_llama,
    "eager": lambda: tiny_llama(attn_implementation="eager"),
    "mistral": tiny_mistral,
    "gemma2": tiny_gemma2,
    "gpt_oss": tiny_gpt_oss,
    "llama4": tiny_llama4,
    "mixtral": lambda: tiny_mixture("mixtral"),
    "ernie4_5_moe": lambda: tiny_mixture("ernie4_5_moe"),
    "deepseek_v3": lambda: tiny("deepseek_v3"),
}


@pytest.fixture
def deferred(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps were described at a time."""
    counts: list[int] = []
    describe = PassLog._describe_present

    def counted(self: PassLog) -> None:
        counts.append(len(self.steps))
        describe(self)

    monkeypatch.setattr(PassLog, "_describe_present", counted)
    return counts


@pytest.mark.parametrize("name", MODELS)
def test_both_ways_make_the_same_trace(name: str) -> None:
    model = MODELS[name]()
    inputs = {"input_ids": prompt(rows=2), "use_cache": False}
    at_once, *later = (recorded(model, inputs, later=each) for each in (False, True, True))
    assert not [each for again in later for each in differences(at_once, again)]


def test_a_plain_forward_is_described_when_somebody_looks(deferred: list[int]) -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    assert not deferred
    assert len(trace) > 40
    assert len(deferred) == 1
    assert deferred[0] > len(trace) / 2


class Writes(nn.Module):
    """Writes into what its parts have returned and were given."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.first(x)
        hidden.add_(1)
        hidden = self.second(hidden)
        x.mul_(2)
        self.first(x.view_as(x))
        return hidden.relu_()


def test_what_is_written_to_later_is_recorded_as_it_was() -> None:
    model = Writes()
    at_once, later = (record_call_of(model, torch.ones(2, 4), later=each) for each in (False, True))
    assert [(record.key, record.inputs) for record in at_once.records] == [(r.key, r.inputs) for r in later.records]
    for record in at_once.records:
        np.testing.assert_array_equal(at_once.value(record).read(), later.value(record).read())


def record_call_of(model: nn.Module, x: torch.Tensor, later: bool) -> Trace:
    return recorded(model, {"x": x}, later)[0]


@pytest.mark.parametrize("place", ["model.layers.0.mlp.up_proj", "model.layers.1.self_attn.q_proj", "lm_head"])
def test_nan_is_told_at_the_record_where_it_begins(place: str) -> None:
    model = tiny_llama()
    model.get_submodule(place).weight.data[3, 1] = float("nan")
    inputs = {"input_ids": prompt(), "use_cache": False}
    at_once, later = recorded(model, inputs, later=False), recorded(model, inputs, later=True)
    assert not list(differences(at_once, later))
    assert later[0].records[later[1][0][1]].site == place  # type: ignore[index]


def test_a_stop_with_a_condition_is_looked_at_record_by_record(deferred: list[int]) -> None:
    stops = (*DEFAULT_STOPS, parse_stop("*.mlp if norm > 0"))
    inputs = {"input_ids": prompt(), "use_cache": False}
    model = tiny_llama()
    at_once, later = recorded(model, inputs, False, stops), recorded(model, inputs, True, stops)
    assert not list(differences(at_once, later))
    assert not deferred


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_came_by_before_an_error_is_there(error: type[BaseException]) -> None:
    model = tiny_llama()

    def fail(*_: object) -> None:
        raise error

    model.model.layers[1].mlp.up_proj.register_forward_hook(fail)
    gate = Gate()
    recorder = Recorder(RunInfo(), (), gate.arrived)
    with pytest.raises(error), torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder), gate)):
        model(input_ids=prompt(), use_cache=False)
    assert recorder.trace.records[-1].site == "model.layers.1.mlp.act_fn"
    assert len(recorder.trace.records) == len(recorder.trace.values)


def test_whoever_pauses_or_edits_while_it_runs_finds_it_at_the_next_record() -> None:
    model, edits = tiny_llama(), EditLog()
    gate = Gate(until_end, edits=edits)
    recorder = Recorder(RunInfo(), (), gate.arrived)
    editor = Editor(recorder, edits)
    gate.begin(recorder.trace)
    asked = model.model.layers[0].mlp.register_forward_pre_hook(
        lambda *_: edits.ask([parse_edit("model.layers.1.mlp: zero")], 0)
    )
    with torch.no_grad(), ModelHooks(model, Pass(recorder, editor, gate)):
        model(input_ids=prompt(), use_cache=False)
    asked.remove()
    trace = recorder.finished(editor.notes)
    edited = [record.site for record in trace.records if record.edited]
    assert edited == ["model.layers.1.mlp"]
    assert not trace["model.layers.1.mlp"].any()
    assert trace["model.layers.1.mlp:before_edit"].any()
    np.testing.assert_array_equal(trace["model.layers.1"], trace["model.layers.1:attn_residual"])


def test_what_an_edit_made_is_known_to_whom_it_is_given() -> None:
    model, edits = tiny_llama(), EditLog()
    gate = Gate(until_end, edits=edits)
    recorder = Recorder(RunInfo(), (), gate.arrived)
    with torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder, edits), gate)):
        edits.ask([parse_edit("model.layers.1.input_layernorm: scale 2")], 0)
        model(input_ids=prompt(), use_cache=False)
    trace = recorder.finished()
    norm, query = (trace.find(f"model.layers.1.{site}") for site in ("input_layernorm", "self_attn.q_proj"))
    assert norm is not None
    assert query is not None
    assert norm.edited
    assert query.inputs == (norm.index,)


def test_no_tensor_of_the_models_outlives_its_call() -> None:
    model = tiny_llama()
    gate = Gate()
    recorder = Recorder(RunInfo(), (), gate.arrived)
    with torch.no_grad(), ModelHooks(model, Pass(recorder, Editor(recorder), gate)):
        model(input_ids=prompt(), use_cache=False)
    recorder.finished()
    gc.collect()
    assert not recorder.snapshots.value(model.lm_head.weight)
    assert not recorder.snapshots.known


def test_a_trace_that_nobody_looks_into_is_gone_with_its_name() -> None:
    model = tiny_llama()
    gc.collect()
    gc.disable()
    try:
        trace = record_call(model, input_ids=prompt(), use_cache=False)
        about = weakref.ref(trace)
        kept = weakref.ref(model)
        del model
        assert kept() is None
        assert trace["logits"].shape == (1, 9, 61)
        del trace
        assert about() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("looks", [False, True])
def test_what_a_trace_held_is_freed_with_its_name(looks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[weakref.ref[torch.Tensor]] = []
    let_go = Snapshots.let_go

    def counted(self: Snapshots) -> None:
        kept.extend(weakref.ref(value.captured) for value in self.values)
        let_go(self)

    monkeypatch.setattr(Snapshots, "let_go", counted)
    model = tiny_llama()
    gc.disable()
    try:
        trace = record_call(model, input_ids=prompt(), use_cache=False)
        assert not looks or len(trace)
        assert len([each for each in kept if each() is not None]) > 40
        del trace
        assert not [each for each in kept if each() is not None]
    finally:
        gc.enable()


def test_weights_that_change_after_the_call_change_nothing_in_its_trace() -> None:
    model = tiny_gemma2()
    expected = list(record_call(model, input_ids=prompt(), use_cache=False).records)
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    assert [record.key for record in trace.records] == [record.key for record in expected]


def test_several_threads_may_be_the_first_to_look() -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: [record.key for record in trace.records], range(8)))
    assert all(each == keys[0] for each in keys)
    assert len(set(keys[0])) == len(keys[0]) > 40


def test_a_trace_can_be_copied_and_sent_before_anybody_looked() -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    copied = replace(trace, records=pickle.loads(pickle.dumps(trace.records)))
    assert list(copied.records) == list(trace.records)


@pytest.mark.parametrize("memory", [None, 0])
def test_a_generation_whose_weights_stay_is_the_same_both_ways(
    memory: int | None, monkeypatch: pytest.MonkeyPatch, deferred: list[int]
) -> None:
    made = recipe(generation=Generation(3, stop=()), memory=memory)
    later = trace_recipe(made, ids=(5, 8, 299, 3))
    assert bool(deferred) == (memory is None)
    monkeypatch.setattr(RecordingObserver, "may_defer", lambda *about: False)
    at_once = trace_recipe(made, ids=(5, 8, 299, 3))
    assert not list(differences((at_once, []), (later, [])))
    assert (at_once.generated, at_once.cache) == (later.generated, later.cache)


def test_a_table_with_nan_is_named_while_its_rows_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(generation=Generation(2, stop=()))
    rows = Weights.lend_rows

    def spoilt(self: Weights, name: str, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        table, places = rows(self, name, ids)
        table[0, 3] = float("nan")
        return table, places

    monkeypatch.setattr(Weights, "lend_rows", spoilt)
    traces = [trace_recipe(made, ids=(5, 8, 299, 3))]
    monkeypatch.setattr(RecordingObserver, "may_defer", lambda *about: False)
    traces.append(trace_recipe(made, ids=(5, 8, 299, 3)))
    assert traces[0].bad_weights == traces[1].bad_weights
    assert traces[0].bad_weights["model.embed_tokens"]


class Grows(nn.Module):
    """Computes with gradients, whatever its caller says, and writes to what it returned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            hidden = self.first(x)
            made: torch.Tensor = self.last(hidden.mul_(2))
            return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "model",
    [
        *(Odd(makes) for makes in (torch.Tensor.to_sparse, nested, quantised, lambda x: x.to("meta"))),
        Odd(lambda x: torch.vmap(nn.Identity())(x)),
        Grows(),
    ],
)
def test_what_can_not_be_read_or_needs_gradients_is_told_of_both_ways(model: nn.Module) -> None:
    inputs = {"x": torch.ones(2, 4, 4)}
    at_once, later = recorded(model, inputs, later=False), recorded(model, inputs, later=True)
    assert not list(differences(at_once, later))
    assert not any(value.captured.requires_grad for value in later[0].values if isinstance(value, TorchValue))


class Discards(nn.Module):
    """Makes NaN that goes nowhere, and an infinity of numbers that are finite."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bad, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.large = nn.Identity()
        self.bad.weight.data[2, 1] = torch.nan

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        hidden = self.first(x)
        self.bad(hidden)
        self.large(hidden.half() * 60000)
        return self.last(hidden), None


@pytest.mark.parametrize("looked_at", [0, 2**20])
def test_what_is_not_finite_and_goes_nowhere_is_told_with_its_weights(
    looked_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "LOOKED_AT", looked_at)
    inputs = {"x": torch.full((3, 4), 2.0)}
    at_once, later = recorded(Discards(), inputs, later=False), recorded(Discards(), inputs, later=True)
    assert [later[0].records[hit[1]].site for hit in later[1]] == ["bad", "large"]  # type: ignore[index]
    model = Discards()
    at_once, later = recorded(model, inputs, later=False), recorded(model, inputs, later=True)
    assert not list(differences(at_once, later))
    assert [weight.first for weight in later[0].bad_weights["bad"]] == [(2, 1)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were gone through for NaN, look by look."""
    counts: list[int] = []

    def counted(rows: Any) -> int | None:
        counts.append(len(rows) // 3)
        return first_not_finite(rows)

    monkeypatch.setattr("tracetui.tracer.capture.finite_look.first_not_finite", counted)
    return counts


def test_where_nobody_waits_all_is_looked_at_together_when_somebody_asks(looks: list[int]) -> None:
    trace = record_module(tiny_llama(), (), {"input_ids": prompt(), "use_cache": False}, stops=DEFAULT_STOPS)
    # The first and the last row of the logits.
    assert looks == [2]
    assert len(trace) > 40
    assert len(looks) == 2
    assert looks[1] > 40


def test_where_statistics_are_asked_for_nothing_is_gone_through_once_more(looks: list[int]) -> None:
    if library.library() is None:
        pytest.skip("this installation has no compiled code")
    trace = record_module(tiny_llama(), (), {"input_ids": prompt(), "use_cache": False}, stops=DEFAULT_STOPS)
    looks.clear()
    assert len(trace.all_statistics()) > 40
    assert not looks


def test_whether_weights_were_changed_is_asked_once_and_of_what_is_not_finite_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[SampledPrints] = []
    are_same = SampledPrints.are_same

    def counted(prints: SampledPrints) -> bool:
        asked.append(prints)
        return are_same(prints)

    monkeypatch.setattr(SampledPrints, "are_same", counted)
    sound = record_call(tiny_mixture("mixtral"), input_ids=prompt(), use_cache=False)
    assert len(sound) > 60
    assert not asked
    spoilt = record_call(model := Discards(), torch.full((3, 4), 2.0))
    assert model.bad.weight.isnan().any()
    assert spoilt.bad_weights["bad"]
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["gate_up_proj", "down_proj"])
def test_a_bad_weight_of_an_expert_is_named_both_ways(name: str) -> None:
    model = tiny_mixture("mixtral")
    inputs = {"input_ids": prompt(rows=2), "use_cache": False}
    trace = recorded(model, inputs, later=True)[0]
    hit = next(record for record in trace.records if record.site.endswith(":in") and record.layer == 1)
    expert = int(hit.site.partition(":")[0].rpartition(".")[2])
    model.get_parameter(f"model.layers.1.mlp.experts.{name}").data[expert, 3, 1] = torch.nan
    at_once, later = recorded(model, inputs, later=False), recorded(model, inputs, later=True)
    assert not list(differences(at_once, later))
    assert [bad.first for bad in later[0].bad_weights[hit.site.partition(":")[0]]] == [(expert, 3, 1)]


def test_experts_that_stand_in_their_module_are_described_later(deferred: list[int]) -> None:
    trace = record_call(tiny_mixture("mixtral"), input_ids=prompt(rows=2), use_cache=False)
    assert not deferred
    assert len(trace) > 40
    assert len(deferred) == 1


def test_somebody_s_own_sdpa_is_run_and_described_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def own(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        heads, weights = sdpa_attention_forward(module, *args, **kwargs)
        return heads * 2, weights

    model, inputs = tiny_llama(), {"input_ids": prompt(), "use_cache": False}
    plain = recorded(model, inputs, later=True)[0]
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "sdpa", own)
    at_once, later = recorded(model, inputs, later=False), recorded(model, inputs, later=True)
    assert not list(differences(at_once, later))
    assert {call.kernel for call in plain.attention.values()} == {"sdpa"}
    assert {call.kernel for call in later[0].attention.values()} == {"own"}


def test_the_size_of_a_cache_is_told_without_copying_what_records_share(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[bool] = []
    size = Decoder.cache_bytes

    def told(self: Decoder) -> int:
        told = size(self)
        keys = [layer.keys for layer in self._arguments[CACHE].layers]
        kept.extend(torch._C._is_cow_tensor(each) for each in keys)  # type: ignore[attr-defined]
        return told

    monkeypatch.setattr(Decoder, "cache_bytes", told)
    trace = trace_recipe(recipe(generation=Generation(2, stop=())), ids=(5, 8, 299, 3))
    assert len(trace.cache) == 2
    assert kept
    assert all(kept)

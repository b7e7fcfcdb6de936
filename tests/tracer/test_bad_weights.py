"""Whether the weights of a module that makes a NaN hold it themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import tracetui
from tests.families.models import make_family
from tests.models.hf_files import saved
from tests.models.test_placeholder import traced as streamed
from tests.tracer.recipes import recipe
from tracetui.analysis.health.diagnosis import bad_weights, diagnose, first_unsound
from tracetui.expr.edit_parse import parse_edits
from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource
from tracetui.models.weights.streaming import Weights
from tracetui.recipe import load_recipe
from tracetui.recording.health import is_sound
from tracetui.recording.record import BadWeight
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call
from tracetui.tracer.run import trace_recipe
from tracetui.views.health.lines import health_lines

IDS = [5, 319, 17, 17, 0, 42, 256, 3, 99, 100, 101]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.second(self.first(x).relu()))


def told(trace: Trace, key: str) -> str:
    record = trace.find(key)
    assert record is not None
    return " ".join(line.text for line in health_lines(trace, diagnose(trace, record), 400))


def traced(model: nn.Module, x: torch.Tensor) -> Trace:
    return tracetui.trace(model, x).recorded


def test_a_weight_that_is_not_a_number_is_named_with_its_place() -> None:
    model = Net()
    with torch.no_grad():
        model.second.weight[1, 4] = float("nan")
    trace = traced(model, torch.ones(2, 4))
    assert "its own weights have it: second.weight[1, 4]" in told(trace, "second")
    assert "weights: second.weight: 1 of 18 are NaN or infinite, the first at [1, 4]" in trace.run.notes
    found = trace.find("first")
    assert found is not None
    assert found.provenance == ""


def test_arithmetic_that_overflows_leaves_the_weights_alone() -> None:
    model = Net()
    with torch.no_grad():
        model.second.weight.fill_(3e38)
        model.first.bias.fill_(3e38)
    trace = traced(model, torch.ones(2, 4))
    assert "its own weights are finite, so that its arithmetic made it" in told(trace, "second")
    assert not any(note.startswith("weights:") for note in trace.run.notes)


class Block(nn.Module):
    """Multiplies with the weight of a child that it never calls, as state-space blocks do with their convolution's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.spare = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [T,D]"""
        return nn.functional.linear(x, self.conv.weight) * self.gain  # [T,D]


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.block = nn.Linear(4, 4), Block()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [T,D]"""
        return torch.as_tensor(self.block(self.first(x)))


class Given:
    """A source with one weight's values, and halves else."""

    def __init__(self, name: str, value: torch.Tensor) -> None:
        self._name, self._value = name, value

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str:
        return "file"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        return self._value if spec.name == self._name else torch.full(spec.shape, 0.5)


def of_source(source: WeightSource, x: torch.Tensor, streams: bool) -> Trace:
    """The blocks with a source's weights: streamed, or a module that has them."""
    with torch.device("meta"):
        model = Blocks()
    weights = Weights(model, torch.float32, source, 0)
    if streams:
        return streamed(model, weights, x)
    for owner, slot in weights.all_slots():
        slot.fill(owner, source.read(slot.spec, None, lambda made: None))
    return traced(model, x)


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    ("name", "place", "named"),
    [("block.conv.weight", (1, 2), "block.conv.weight[1, 2]"), ("block.gain", (), "block.gain[]")],
)
def test_weights_of_children_that_never_run_are_their_parents(
    name: str, place: tuple[int, ...], named: str, streams: bool
) -> None:
    value = torch.full((4, 4) if place else (), 0.5)
    value[place] = float("nan")
    line = told(of_source(Given(name, value), torch.ones(2, 4), streams), "block")
    assert f"its own weights have it: {named}" in line


@pytest.mark.parametrize("streams", [True, False])
def test_finite_weights_of_children_that_never_run_are_acquitted(streams: bool) -> None:
    source = Given("block.conv.weight", torch.full((4, 4), 3e38))
    line = told(of_source(source, torch.full((2, 4), 1e3), streams), "block")
    assert "its own weights are finite, so that its arithmetic made it" in line


def test_what_was_not_read_is_not_named() -> None:
    """It is not there in a run that streams."""
    spare = Given("block.spare.weight", torch.full((4, 4), float("nan")))
    trace = of_source(spare, torch.full((2, 4), float("inf")), True)
    assert trace.bad_weights["block"] == ()


def test_any_row_of_a_table_is_looked_at() -> None:
    model = nn.Sequential(nn.Embedding(5, 3))
    with torch.no_grad():
        model.get_submodule("0").get_parameter("weight")[4, 1] = float("nan")
    (bad,) = traced(model, torch.tensor([0, 4, 2])).bad_weights["0"]
    assert (bad.name, bad.first) == ("0.weight", (4, 1))


def test_of_an_edited_record_the_edit_is_named() -> None:
    trace = trace_recipe(recipe(edits=parse_edits(["layers.0.mlp: set nan"], "")))
    assert "an edit was made here" in told(trace, "model.layers.0.mlp")


def test_weights_that_were_not_looked_at_are_not_acquitted() -> None:
    """One row alone is bad, so that no weight can be the cause, and none was gone through."""
    model = Net()
    with torch.no_grad():
        model.first.weight.fill_(0.5)
        model.second.weight.fill_(10.0)
    trace = traced(model, torch.tensor([[1.0] * 4, [3e37] * 4]))
    assert trace.bad_weights == {}
    line = told(trace, "second")
    assert "or weights that were not looked at" in line
    assert "own weights are finite" not in line


def test_one_expert_s_own_weights_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", "mixtral")
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    sought = trace_recipe(load_recipe(str(folder)), ids=IDS).find("model.layers.1.mlp:experts")
    assert sought is not None
    name = next(name for name in state if "layers.1." in name and ".experts.2.w2" in name)
    state[name][5, 7] = float("nan")
    save_file({key: tensor.clone() for key, tensor in state.items()}, path, {"format": "pt"})
    trace = trace_recipe(load_recipe(str(folder)), ids=IDS)
    (weight,) = trace.bad_weights["model.layers.1.mlp.experts.2"]
    assert weight.first == (2, 5, 7)
    assert weight.name == "model.layers.1.mlp.experts.down_proj"
    assert "model.layers.1.mlp.experts.down_proj[2, 5, 7]" in told(trace, "model.layers.1")
    # Behind it every expert has NaN from NaN: the weights of none of them are to blame, least of all absent ones.
    assert [weight for site, weights in trace.bad_weights.items() for weight in weights if ".layers.2." in site] == []


def test_a_row_of_a_table_is_named_by_its_own_number(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    (path,) = folder.glob("*.safetensors")
    state = load_file(path)
    state["model.embed_tokens.weight"][IDS[0], 3] = float("nan")
    save_file({key: tensor.clone() for key, tensor in state.items()}, path, {"format": "pt"})
    trace = trace_recipe(load_recipe(str(folder)), ids=IDS)
    (weight,) = trace.bad_weights["model.embed_tokens"]
    assert (weight.name, weight.first) == ("model.embed_tokens.weight", (IDS[0], 3))


def test_a_file_keeps_which_weights_are_bad(tmp_path: Path) -> None:
    model = Net()
    with torch.no_grad():
        model.second.weight[2, 0] = float("inf")
    trace = tracetui.trace(model, torch.ones(2, 4))
    trace.save(tmp_path / "t.npz")
    again = tracetui.open_trace(tmp_path / "t.npz").recorded
    assert again.bad_weights == trace.recorded.bad_weights
    assert again.bad_weights["second"] == (BadWeight("second.weight", 1, 18, (2, 0)),)


class Gated(nn.Module):
    """Its own code multiplies by a bare parameter and by a child's weight, between two children that it calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.last = nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Linear(4, 4)
        self.decay = nn.Parameter(torch.ones(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = nn.functional.linear(self.first(x), self.conv.weight) * self.decay
        return torch.as_tensor(self.last(h / (self.decay.sum() - 3)))


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gated = Gated()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.gated(x))


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(
    ("name", "place", "what"), [("conv.weight", (1, 2), "conv.weight[1, 2]"), ("decay", (2,), "decay[2]")]
)
def test_weights_that_a_modules_own_code_reads_are_named(
    stops: bool, name: str, place: tuple[int, ...], what: str
) -> None:
    model = Whole()
    with torch.no_grad():
        model.gated.get_parameter(name)[place] = float("nan")
    line = _line(model, stops)
    assert f"weights that gated's own code reads have it: gated.{what}" in line
    assert "arithmetic" not in line


@pytest.mark.parametrize("stops", [False, True])
def test_finite_weights_leave_the_modules_own_arithmetic(stops: bool) -> None:
    model = Whole()
    with torch.no_grad():
        model.gated.decay.fill_(0.75)
    line = _line(model, stops)
    assert "the arithmetic of gated's own code made it" in line
    assert "weights" not in line.partition("Its elements")[0]


def test_a_module_that_runs_later_is_not_named_for_what_came_before() -> None:
    model = Whole()
    with torch.no_grad():
        model.gated.decay.fill_(0.75)
        model.gated.last.weight[0, 0] = float("nan")
    assert "the arithmetic of gated's own code made it" in _line(model, False)


def _line(model: nn.Module, stops: bool) -> str:
    if not stops:
        return told(traced(model, torch.ones(2, 4)), "gated.last:input")
    with pytest.raises(tracetui.StopHit) as held, tracetui.stops("nan", "inf"), torch.no_grad():
        model(torch.ones(2, 4))
    return " ".join(str(held.value).split())


def test_a_table_with_a_bad_row_is_named_in_the_first_pass_and_in_a_later_one(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 4))
    with torch.no_grad():
        model.get_parameter("0.weight")[5, 2] = float("nan")
    trace = traced(model, torch.tensor([[3, 5]]))
    line = told(trace, "0")
    assert "its own weights have it: 0.weight[5, 2]" in line
    assert "can't be told" not in line


def test_weights_are_not_looked_at_where_what_they_made_is_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    name = "tracetui.tracer.hooks.module_watch.bad_weights"
    monkeypatch.setattr(name, lambda path, *rest, **named: asked.append(path))
    traced(Net(), torch.ones(2, 4))
    assert not asked
    traced(Net(), torch.full((2, 4), float("nan")))
    assert asked == ["first", "second", ""]


class Spoiling(nn.Module):
    """Writes NaN into what its child has just returned."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.inner(x)).fill_(torch.nan)


@pytest.mark.parametrize("inference", [False, True])
def test_what_was_finite_when_it_was_returned_is_looked_at_again_after_it_was_written_to(inference: bool) -> None:
    with torch.inference_mode(inference):
        trace = tracetui.trace(nn.Sequential(Spoiling()), torch.ones(2, 4))
    assert [(hit.stop.text, trace.records[hit.index].key) for hit in trace.hits] == [("nan", "0")]
    assert np.isfinite(trace["0.inner"]).all()


class Hides(nn.Module):
    """Hides every score in its own code, between two modules: a softmax over no key is NaN."""

    def __init__(self, hidden: float) -> None:
        super().__init__()
        self.scores = nn.Linear(4, 4)
        self.softmax = nn.Softmax(-1)
        self.hidden = hidden

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        probs: torch.Tensor = self.softmax(self.scores(x) + self.hidden)
        return probs


def test_a_module_is_not_said_to_be_given_what_is_finite_where_that_was_not_recorded() -> None:
    trace = record_call(Hides(float("-inf")), torch.ones(2, 4))
    record = trace.find("softmax")
    assert record is not None
    text = " ".join(line.text for line in health_lines(trace, diagnose(trace, record), 200))
    assert "first seen here" in text
    assert "what it was given was not recorded" in text
    assert "what feeds it is finite" not in text


PLANTED = {
    "bloom": ("transformer.h.1.self_attention.query_key_value.weight", [7, 12]),
    "gemma3n_text": ("model.layers.1.self_attn.k_norm.weight", [1]),
    "mamba": ("backbone.layers.1.mixer.in_proj.weight", [127, 41]),
    "falcon": ("transformer.h.0.mlp.dense_4h_to_h.weight", [3, 5]),
    "xmod": ("roberta.encoder.layer.1.attention.output.LayerNorm.bias", [13]),
    "granitemoe": ("model.layers.1.self_attn.v_proj.weight", [26, 63]),
    "jetmoe": ("model.layers.2.self_attention.experts.output_linear.weight", [2, 33, 136]),
    "gpt_neox_japanese": ("gpt_neox_japanese.layers.3.attention.dense_bias", [40]),
    "deepseek_v4": ("model.layers.1.mlp.shared_experts.up_proj.weight", [29, 28]),
}


@pytest.mark.parametrize("family", PLANTED)
def test_only_who_reads_a_bad_weight_is_named_whatever_a_family_calls_its_parts(family: str, tmp_path: Path) -> None:
    name, place = PLANTED[family]
    made = make_family(family, tmp_path)
    assert first_unsound(tracetui.trace(made.model, input_ids=made.ids).recorded) is None
    with torch.no_grad():
        made.model.get_parameter(name)[tuple(place)] = float("nan")
    trace = tracetui.trace(made.model, input_ids=made.ids).recorded
    bad = [record for record in trace.records if not is_sound(record, trace.value(record))]
    assert bad
    for record in (bad[0], bad[len(bad) // 2], bad[-1]):
        blamed = diagnose(trace, record).producers
        named = {weight.name for one in blamed for weight in bad_weights(trace, one.record)}
        assert named == {name}, [one.record.key for one in blamed]
        assert all(bad_weights(trace, one.record) for one in blamed), [one.record.key for one in blamed]

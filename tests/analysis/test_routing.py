"""Reading a routing: its parts, its padding, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tiny_moe import DEEPSEEK, QWEN, Family, whole_trace
from tests.ui.tiny_llama import Recorder
from tracetui.analysis.experts.choice import margins, masked_groups, runners_up, token_choice
from tracetui.analysis.experts.routing import read_routing, routing, routing_records
from tracetui.errors import RunError
from tracetui.recording.record import Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, NotKeptError, StatisticsValue


def hand_made(tokens: int = 2, config: dict[str, object] | None = None) -> Recorder:
    row = tuple(Token(place, b"x") for place in range(tokens))
    recorder = Recorder(Trace(RunInfo(config=config or {}), (row,), [], [], {}))
    recorder.trace = Trace(RunInfo(config=config or {}), (row,), recorder.records, recorder.values, {})
    return recorder


@pytest.mark.parametrize("family", [DEEPSEEK, QWEN])
def test_every_part_of_a_layer_is_found(family: Family) -> None:
    trace = whole_trace(family).trace
    found = routing(trace, 2)
    assert (found.site, found.layer, found.count, found.active, len(found)) == ("model.layers.2.mlp", 2, 16, 4, 17)
    assert np.array_equal(found.experts, trace["model.layers.2.mlp:experts"])
    for part, role in (
        (found.weights, "routing_weights"),
        (found.logits, "router_logits"),
        (found.scores, "router_scores"),
        (found.selection, "selection_scores"),
    ):
        assert part is not None
        assert np.array_equal(part, trace[f"model.layers.2.mlp:{role}"])
    assert (found.bias is not None) is family.deepseek
    assert (found.groups, found.groups_kept) == ((4, 2) if family.deepseek else (1, 1))
    assert not found.missing


@pytest.mark.parametrize("family", [DEEPSEEK, QWEN])
def test_choices_follow_from_the_selection_scores(family: Family) -> None:
    found = routing(whole_trace(family).trace, 1)
    assert found.selection is not None
    assert (margins(found.selection, found.experts) > 0).all()
    worse = found.experts.copy()
    worse[:, 0] = runners_up(found.selection, found.experts)
    assert (margins(found.selection, worse).min(axis=1) < 0).all(), "the runner-up in place of the first"


def test_a_layer_without_experts_is_named_with_those_that_have_them() -> None:
    with pytest.raises(KeyError, match=r"no routing of layer 0 in pass 0; layers that have one: 1, 2"):
        routing(whole_trace().trace, 0)


def test_padding_is_left_out() -> None:
    together, alone = whole_trace(lengths=(17, 5)).trace, whole_trace(lengths=(5,)).trace
    found, single = routing(together, 1), routing(alone, 1)
    assert len(found) == 22
    assert found.rows.tolist() == [*range(17), *range(17, 22)]
    second = found.prompts == 1
    assert found.positions[second].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(found.experts[second], single.experts)
    assert found.token(1, 4) == 21
    assert found.token(1, 5) is None


def test_padding_in_the_middle_is_left_out_too() -> None:
    found = routing(whole_trace(lengths=(3, 6)).trace, 1)
    assert found.rows.tolist() == [0, 1, 2, *range(6, 12)]
    assert found.token(1, 0) == 3


def test_later_passes_have_no_padding() -> None:
    recorder = whole_trace(lengths=(3, 6))
    record = recorder.add("model.layers.1.mlp:experts", np.array([[0, 1], [2, 3]]), "model.layers.1.mlp")
    recorder.records[-1] = later = type(record)(record.index, record.site, record.shape, record.dtype, 4, pass_=1)
    found = read_routing(recorder.trace, later)
    assert (found.prompts.tolist(), found.positions.tolist()) == ([0, 1], [0, 0])
    assert found.missing["router logits"] == "not recorded", "those of the first pass are not those of the second"
    assert routing_records(recorder.trace.records, 1) == [later]


def test_what_is_missing_is_said() -> None:
    recorder = hand_made(config={"num_experts": 6})
    recorder.add("m:router_scores", np.zeros((2, 6), np.float32), "m")
    recorder.values[0] = StatisticsValue((2, 6), "float32", ArrayValue(np.zeros(1)).statistics())
    recorder.add("m:selection_scores", np.zeros((3, 6), np.float32), "m")
    found = read_routing(recorder.trace, recorder.add("m:experts", np.array([[0, 1], [2, 3]]), "m"))
    assert found.count == 6
    assert found.criterion is None
    assert found.missing == {
        "router logits": "not recorded",
        "router scores": "only statistics were kept",
        "selection scores": "recorded with the shape [3, 6]",
        "routing weights": "not recorded",
    }
    choice = token_choice(recorder.trace, found, 0)
    assert [each.expert for each in choice.choices] == [0, 1]
    assert (choice.margin, choice.runner_up, choice.choices[0].weight, choice.choices[0].norm_out) == (None,) * 4


@pytest.mark.parametrize("role", ["router_scores", "router_logits"])
def test_scores_that_did_not_decide_the_choice_give_no_margin(role: str) -> None:
    recorder = hand_made()
    scores = np.array([[0.1, 0.4, 0.3], [0.5, 0.2, 0.3]], np.float32)
    recorder.add(f"m:{role}", scores, "m")
    decided = read_routing(recorder.trace, recorder.add("m:experts", np.array([[1, 2], [2, 0]]), "m"))
    assert decided.criterion is not None
    assert token_choice(recorder.trace, decided, 1).margin == pytest.approx(0.1)
    recorder.add(f"n:{role}", scores, "n")
    other = read_routing(recorder.trace, recorder.add("n:experts", np.array([[1, 2], [2, 1]]), "n"))
    assert other.criterion is None
    choice = token_choice(recorder.trace, other, 0)
    assert (choice.margin, choice.runner_up) == (None, None)


def test_choices_that_can_be_none() -> None:
    recorder = hand_made()
    recorder.add("m:router_scores", np.zeros((1, 4), np.float32), "m")
    with pytest.raises(RunError, match="m:experts: experts are 0–3, found 1–4"):
        read_routing(recorder.trace, recorder.add("m:experts", np.array([[1, 4]]), "m"))
    with pytest.raises(RunError, match=r"n:experts: chosen experts have the shape \[N, A\], this is \[3\]"):
        read_routing(recorder.trace, recorder.add("n:experts", np.arange(3), "n"))
    kept = recorder.add("o:experts", np.zeros((1, 1), np.int64), "o")
    recorder.values[-1] = StatisticsValue((1, 1), "int64", ArrayValue(np.zeros(1)).statistics())
    with pytest.raises(NotKeptError):
        read_routing(recorder.trace, kept)


def test_the_margin_of_a_tie_is_nothing() -> None:
    selection = np.array([[0.5, 0.9, 0.5, 0.1], [0.4, 0.3, 0.2, 0.1]])
    found = margins(selection, np.array([[1, 0], [0, 1]]))
    assert found[0].tolist() == [0.4, 0.0]
    assert found[1] == pytest.approx([0.2, 0.1])
    assert runners_up(selection, np.array([[1, 0], [0, 1]])).tolist() == [2, 2]


def test_no_other_expert_to_choose() -> None:
    selection = np.array([[0.5, 0.9, -np.inf, -np.inf]])
    experts = np.array([[0, 1]])
    assert margins(selection, experts).tolist() == [[np.inf, np.inf]]
    assert runners_up(selection, experts).tolist() == [-1]
    assert masked_groups(selection, 2).tolist() == [[False, True]]
    assert masked_groups(np.where(np.isinf(selection), 0.2, selection), 2).tolist() == [[False, False]]


def test_deepseek_leaves_half_of_the_groups_to_each_token() -> None:
    found = routing(whole_trace().trace, 1)
    assert found.selection is not None
    masked = masked_groups(found.selection, found.groups)  # [n,groups]
    assert (masked.sum(axis=1) == found.groups - found.groups_kept).all()
    assert not np.take_along_axis(masked, found.experts // 4, axis=1).any(), "nobody chose from a masked group"
    assert [found.group(expert) for expert in (0, 3, 4, 15)] == [0, 0, 1, 3]


def test_one_token_choice_in_full() -> None:
    trace = whole_trace().trace
    found = routing(trace, 2)
    choice = token_choice(trace, found, 5)
    weights = [each.weight or 0.0 for each in choice.choices]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(2.5, abs=1e-5)
    assert found.scores is not None
    assert found.bias is not None
    assert found.selection is not None
    for each in choice.choices:
        assert each.score == found.scores[5, each.expert]
        assert each.score is not None
        assert each.bias is not None
        assert each.selection == pytest.approx(each.score + each.bias, abs=1e-6)
        assert each.group not in choice.masked
        tokens = trace[f"model.layers.2.mlp.experts.{each.expert}:tokens"].tolist()
        output = trace[f"model.layers.2.mlp.experts.{each.expert}"][tokens.index(5)]
        assert each.norm_out == pytest.approx(float(np.linalg.norm(output.astype(np.float64))), rel=1e-12)
        assert each.norm_in == pytest.approx(np.sqrt(32), rel=1e-5), "all experts of a token get its normed stream"
    assert choice.margin == min(each.margin or 0.0 for each in choice.choices)
    assert choice.runner_up not in [each.expert for each in choice.choices]
    assert len(choice.masked) == 2


@pytest.mark.parametrize(
    ("experts", "problem"),
    [
        (np.zeros((3, 0), np.int64), r"have the shape \[N, A\], this is \[3, 0\]"),
        (np.full((3, 2), np.nan), "are whole numbers, these are float64"),
        (np.full((3, 2), 2**40), "of more than 1,048,576 experts"),
    ],
)
def test_what_only_has_the_name_of_a_choice_is_refused_before_it_costs_memory(experts: Array, problem: str) -> None:
    recorder = hand_made()
    record = recorder.add("m:experts", experts, "m")
    with pytest.raises(RunError, match=f"m:experts: .*{problem}"):
        read_routing(recorder.trace, record)

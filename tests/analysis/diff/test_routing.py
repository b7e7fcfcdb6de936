"""Which tokens chose other experts, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.analysis.diff import plants
from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.diff.finding import find
from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.routing.flips import Cause, Flip, flips
from tracetui.recording.record import Token
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

BLOCK = "model.layers.3.mlp"
SCORES = np.array([[0.5, 0.3, 0.1, 0.1], [0.4, 0.1, 0.300001, 0.3], [0.2, 0.2, 0.5, 0.1]], dtype=np.float32)


def chosen(scores: Array, count: int = 2) -> Array:
    return np.argsort(-scores, axis=-1, kind="stable")[:, :count]


def routed(scores: Array, experts: Array | None = None, tokens: int = 3) -> Trace:
    experts = chosen(scores) if experts is None else experts
    arrays = {
        f"{BLOCK}:router_scores": scores,
        f"{BLOCK}:experts": experts.astype(np.int64),
        f"{BLOCK}:routing_weights": np.take_along_axis(scores, experts, axis=-1),
    }
    return trace_of(arrays, [range(10, 10 + tokens)])


def one(a: Trace, b: Trace) -> Flip:
    (found,) = flips(compare(a, b))
    return found


def test_a_tie_that_rounding_flipped() -> None:
    other = SCORES.copy()
    other[1, 3] += 2e-6
    found = one(routed(SCORES), routed(other))
    assert (found.layer, found.prompt, found.position) == (3, 0, 1)
    assert (found.only_a, found.only_b, found.cause) == ((2,), (3,), Cause.TIE)
    assert found.margin_a == pytest.approx(1e-6, rel=0.1)
    assert found.margin_b == pytest.approx(1e-6, rel=0.1)


def test_a_first_divergence_of_ties_alone_is_no_fault() -> None:
    other = SCORES.copy()
    other[1, 3] += 2e-6
    found = report(routed(SCORES), routed(other))
    assert found.first is not None
    assert found.first.site == f"{BLOCK}:experts"
    assert found.tied
    assert not found.at_fault
    other[2, 0] += 0.1
    assert not report(routed(SCORES), routed(other)).tied


def test_scores_that_differ_choose_others() -> None:
    other = SCORES.copy()
    other[0, 2] += 0.4
    found = one(routed(SCORES), routed(other))
    assert (found.only_a, found.only_b, found.cause) == ((1,), (2,), Cause.SCORES)
    assert found.apart == pytest.approx(0.4)
    assert found.margin_a == pytest.approx(0.2)


def test_a_choice_that_the_scores_don_t_explain() -> None:
    experts = chosen(SCORES)
    experts[2] = [2, 3]
    found = one(routed(SCORES), routed(SCORES, experts))
    assert (found.position, found.only_b, found.cause) == (2, (3,), Cause.CHOICE)


def test_the_order_of_the_chosen_means_nothing() -> None:
    found = compare(routed(SCORES), routed(SCORES, chosen(SCORES)[:, ::-1]))
    assert found.same, found.first


def test_a_masked_expert_has_no_margin() -> None:
    masked = SCORES.copy()
    masked[0, 1] = -np.inf
    found = one(routed(SCORES), routed(masked, chosen(masked)))
    assert found.cause is Cause.SCORES
    assert found.margin_b is None
    assert found.apart is not None
    assert np.isfinite(found.apart)


def test_without_scores_nothing_is_claimed() -> None:
    a, b = (trace_of({f"{BLOCK}:experts": np.array([[0, experts]])}, [[1]]) for experts in (1, 2))
    found = one(a, b)
    assert (found.cause, found.margin_a, found.apart) == (Cause.UNKNOWN, None, None)


def test_choices_behind_a_different_token_are_nobody_s_fault() -> None:
    other = SCORES.copy()
    other[0, 2] += 0.4
    other[2, 3] += 0.4
    assert [flip.position for flip in flips(compare(routed(SCORES), routed(other)))] == [0, 2]
    changed = replace(routed(other), tokens=((Token(10, b""), Token(11, b""), Token(99, b"")),))
    assert [flip.position for flip in flips(compare(routed(SCORES), changed))] == [0]
    rows = ((Token(1, b""), Token(2, b""), Token(3, b"")),) * 2
    pair = [routed(np.concatenate([SCORES, scores])) for scores in (SCORES, other)]
    a, b = (replace(trace, tokens=rows) for trace in pair)
    b = replace(b, tokens=(rows[0], (*rows[1][:2], Token(4, b""))))
    assert [(flip.prompt, flip.position) for flip in flips(compare(a, b))] == [(1, 0)]


def test_a_choice_in_a_later_pass_is_at_its_own_position() -> None:
    def later(scores: Array) -> Trace:
        trace = routed(scores[:1], tokens=4)
        records = tuple(replace(record, pass_=2) for record in trace.records)
        return replace(trace, records=records, generated=(2,))

    other = SCORES.copy()
    other[0, 2] += 0.4
    assert one(later(SCORES), later(other)).position == 3


def _with_experts(tokens: dict[int, list[int]], shift: float = 0.0) -> Trace:
    arrays: dict[str, Array] = {}
    rows = normal(9, 4)
    for expert, places in tokens.items():
        site = f"{BLOCK}.experts.{expert}"
        arrays |= {f"{site}:tokens": np.array(places), f"{site}:in": rows[places], site: rows[places] * expert + shift}
    return trace_of(arrays, [range(9)])


def test_an_expert_s_rows_stand_against_those_of_the_same_tokens() -> None:
    a, b = _with_experts({1: [0, 2, 5], 2: [1, 3]}), _with_experts({1: [2, 5, 7], 2: [1, 3]})
    found = compare(a, b)
    outcomes = {site.site.removeprefix(BLOCK): site.outcome for site in found.sites}
    assert outcomes == {
        ".experts.1:tokens": Outcome.DIFFERENT,
        ".experts.1:in": Outcome.SAME,
        ".experts.1": Outcome.SAME,
        ".experts.2:tokens": Outcome.SAME,
        ".experts.2:in": Outcome.SAME,
        ".experts.2": Outcome.SAME,
    }
    found = compare(a, _with_experts({1: [2, 5, 7], 2: [1, 3]}, shift=1.0))
    assert [site.site for site in found.different] == [
        f"{BLOCK}.experts.1:tokens",
        f"{BLOCK}.experts.1",
        f"{BLOCK}.experts.2",
    ]


def _biased(model: plants.Model, patch: pytest.MonkeyPatch) -> None:
    """One expert's logit is raised: tokens go there that shouldn't."""
    with torch.no_grad():
        gate = model.model.layers[1].mlp.gate
        gate.weight[2] += 0.5


@pytest.mark.parametrize("model", [plants.mixtral, plants.deepseek])
def test_a_real_router_that_chooses_others(model: plants.Model) -> None:
    right, wrong = plants.traced(model()), plants.traced(model(), _biased)
    found = report(wrong, right)
    assert found.first is not None
    assert found.first.site.startswith("model.layers.1.mlp")
    assert found.flips
    assert {flip.layer for flip in found.flips} == {1}
    assert all(flip.cause is Cause.SCORES for flip in found.flips)
    experts = [trace["model.layers.1.mlp:experts"] for trace in (wrong, right)]
    moved = [set(a) != set(b) for a, b in zip(*experts, strict=True)]
    assert [flip.position for flip in found.flips] == list(np.flatnonzero(moved))
    assert not found.comparison.misfits


def test_what_follows_from_a_flipped_tie_is_no_fault_either() -> None:
    other = SCORES.copy()
    other[1, 3] += 2e-6
    a, b = (
        trace_of(
            {
                f"{BLOCK}.gate": scores,
                f"{BLOCK}.gate#1": np.take_along_axis(scores, chosen(scores), axis=-1),
                f"{BLOCK}.gate#2": chosen(scores).astype(np.int64),
                f"{BLOCK}:router_scores": scores,
                f"{BLOCK}:experts": chosen(scores).astype(np.int64),
                f"{BLOCK}.experts": np.repeat(chosen(scores).sum(axis=-1, keepdims=True), 4, axis=1).astype(np.float32),
            }
        )
        for scores in (SCORES, other)
    )
    found = report(a, b)
    assert all(flip.cause is Cause.TIE for flip in found.flips)
    blocks = [site for site in found.comparison.different if site.site.endswith(".experts")]
    assert find(found.comparison, blocks[0], found.flips).tied


def test_weights_in_another_order_of_the_experts_are_the_same_under_any_names() -> None:
    experts = chosen(SCORES)
    weights = np.take_along_axis(SCORES, experts, axis=-1)
    for choice, name in (("gate#2", "gate#1"), (":experts", ":routing_weights")):
        join = "" if choice[0] == ":" else "."
        own = trace_of({f"{BLOCK}{join}{choice}": experts, f"{BLOCK}{join}{name}": weights})
        other = trace_of({"ffn_moe_topk-3": experts[:, ::-1], "ffn_moe_weights-3": weights[:, ::-1]})
        assert report(own, other).comparison.same
    wrong = trace_of({"ffn_moe_topk-3": experts[:, ::-1], "ffn_moe_weights-3": weights})
    assert not report(own, wrong).comparison.same


def _moved(selection_apart: float) -> tuple[Trace, Trace]:
    """Logits of which two experts' have moved by more than their own rounding, and what was chosen from."""
    scores = np.full((3, 8), -1.0, np.float32) + np.arange(8, dtype=np.float32) / 16
    scores[:, 0] = 1.0
    scores[2, 2:4] = 0.5, 0.5 - 5e-5
    other = scores.copy()
    other[2, 2:4] = other[2, 3] - 5e-5, other[2, 2] + 5e-5
    apart = other.copy()
    apart[2, 3] += selection_apart
    sides = ((scores, scores, scores), (other, apart, apart))
    names = ("router_logits", "selection_scores", "experts")
    made = [(logits, selection, chosen(of)) for logits, selection, of in sides]
    a, b = (
        trace_of({f"model.layers.0.mlp:{name}": array for name, array in zip(names, arrays, strict=True)})
        for arrays in made
    )
    return a, b


@pytest.mark.parametrize(("apart", "cause"), [(0.0, Cause.TIE), (0.01, Cause.CHOICE)])
def test_what_scores_moved_by_is_granted_to_what_is_chosen_from(apart: float, cause: Cause) -> None:
    assert one(*_moved(apart)).cause is cause


def _called(rows: Array) -> Trace:
    site = "model.layers.0.mlp.experts.identity_expert"
    trace = trace_of({f"{site}:input": np.zeros((3, 8), np.float32), site: rows})
    return replace(trace, records=tuple(replace(record, site=site, call=at) for at, record in enumerate(trace.records)))


def test_rows_of_what_experts_share_may_stand_in_another_order() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    assert report(_called(rows[[2, 0, 1]]), _called(rows)).comparison.same
    assert not report(_called(rows[[2, 0, 1]] * np.float32(1.1)), _called(rows)).comparison.same

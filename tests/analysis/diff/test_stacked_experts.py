"""A dump with all chosen experts in one tensor, as mlx-lm's `switch_mlp` has them, beside a trace of each expert."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.value import Array
from tracetui.views.diff.token_places import token_at

_BLOCK = "model.layers.0.mlp"
_STACK = f"{_BLOCK}.switch_mlp"
_TOKENS, _CHOSEN, _EXPERTS, _WIDTH = 40, 2, 4, 8
_PROJECTIONS = ("gate_proj", "up_proj", "down_proj")


def _choice() -> Array:
    """[N,A]"""
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(_EXPERTS), (_TOKENS, 1)), axis=1)
    return orders[:, :_CHOSEN]


_OUTPUTS = {name: normal(_TOKENS, _EXPERTS, _WIDTH, seed=at) for at, name in enumerate(_PROJECTIONS)}
"""What each expert would make of each token: [N,E,D]."""


def _trace(parts: bool = False) -> dict[str, Array]:
    """Expert by expert."""
    choice, arrays = _choice(), {f"{_BLOCK}:experts": _choice()}
    for expert in range(_EXPERTS):
        tokens = np.flatnonzero((choice == expert).any(1))
        site = f"{_BLOCK}.experts.{expert}"
        arrays[f"{site}:tokens"] = tokens
        arrays |= {f"{site}.{name}": _OUTPUTS[name][tokens, expert] for name in _PROJECTIONS if parts}
        arrays[site] = _OUTPUTS["down_proj"][tokens, expert]
    return arrays


def _dump(outputs: Mapping[str, Array] | None = None, is_sorted: bool = False, batch: bool = True) -> dict[str, Array]:
    """As SwitchGLU has them: a choice [B,T,A], [B,T,A,1,D] of projections or, sorted by expert, [B·T·A,1,D]."""
    choice = _choice().astype(np.uint32)
    lead = (2, _TOKENS // 2, _CHOSEN) if batch else choice.shape
    made = {f"{_STACK}:input#1": choice.reshape(lead)}
    order = choice.reshape(-1).argsort(kind="stable")
    for name, each in (outputs or _OUTPUTS).items():
        rows = np.take_along_axis(each, choice[..., None].astype(np.int64), 1)  # [N,A,D]
        flat = rows.reshape(-1, 1, _WIDTH)
        made[f"{_STACK}.{name}"] = flat[order] if is_sorted else rows.reshape(*lead, 1, _WIDTH)
    return {**made, _STACK: rows.reshape(*lead, _WIDTH)}


def _found(dump: Mapping[str, Array], parts: bool = False) -> Report:
    return report(trace_of(dump, dump=True), trace_of(_trace(parts)))


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("parts", [True, False])
def test_every_expert_is_compared(parts: bool, is_sorted: bool, batch: bool) -> None:
    found = _found(_dump(is_sorted=is_sorted, batch=batch), parts)
    assert found.comparison.same
    assert found.comparison.compared == len(_trace(parts))
    assert found.positions == (
        "A's chosen experts in one tensor are taken apart by the choice that is recorded with it",
    )


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("parts", [True, False])
def test_a_fault_is_told_of_its_expert(parts: bool, is_sorted: bool) -> None:
    wrong = {name: each.copy() for name, each in _OUTPUTS.items()}
    token = int(np.flatnonzero((_choice() == 2).any(1))[3])
    wrong["down_proj"][token, 2] *= 1.1
    found = _found(_dump(wrong, is_sorted), parts)
    sites = [f"{_BLOCK}.experts.2.down_proj", f"{_BLOCK}.experts.2"] if parts else [f"{_BLOCK}.experts.2"]
    assert [site.site for site in found.comparison.different] == sites
    distance = found.comparison.different[0].distance
    assert distance is not None
    assert distance.row is not None
    assert distance.row.index == (3,)


@pytest.mark.parametrize("prompts", [1, 2])
def test_the_worst_row_of_an_expert_names_its_token(prompts: int) -> None:
    wrong = {name: each.copy() for name, each in _OUTPUTS.items()}
    token = int(np.flatnonzero((_choice() == 2).any(1))[-2])
    wrong["down_proj"][token, 2] *= 1.1
    rows = np.arange(100, 100 + _TOKENS).reshape(prompts, -1)
    found = report(trace_of(_dump(wrong), dump=True), trace_of(_trace(), rows.tolist()))
    (site,) = found.comparison.different
    assert site.distance is not None
    assert site.distance.worst is not None
    place = token % (_TOKENS // prompts)
    assert token_at(found.comparison, site, {}, site.distance.worst) == f"token {place} “t{100 + token}”"


def test_two_experts_in_each_others_place_are_both_told() -> None:
    swapped = {name: each[:, [0, 3, 2, 1]] for name, each in _OUTPUTS.items()}
    found = _found(_dump(swapped))
    assert [site.site for site in found.comparison.different] == [f"{_BLOCK}.experts.1", f"{_BLOCK}.experts.3"]


@pytest.mark.parametrize("name", ["switch_mlp.indices", "switch_mlp.gate_proj:input#1", "inds", "switch_mlp:idx"])
def test_the_choice_may_be_called_otherwise(name: str) -> None:
    dump = _dump()
    dump[f"{_BLOCK}.{name}"] = dump.pop(f"{_STACK}:input#1")
    assert _found(dump).comparison.compared == len(_trace())


def test_without_the_choice_nothing_is_said_of_experts() -> None:
    wrong = {name: each * 2 for name, each in _OUTPUTS.items()}
    dump = {name: array for name, array in _dump(wrong).items() if "input" not in name}
    found = _found(dump)
    assert found.comparison.compared == 0
    assert "without the choice that tells whose its rows are: they are not compared" in found.positions[0]


@pytest.mark.parametrize("chosen", [True, False])
def test_a_stack_may_have_the_name_of_its_sum(chosen: bool) -> None:
    """As MLX calls it in gpt-oss: without the choice it is not held against the sum."""
    dump = {name.replace("switch_mlp", "experts"): array for name, array in _dump(is_sorted=True).items()}
    dump = {name: array for name, array in dump.items() if chosen or "input" not in name}
    found = report(trace_of(dump, dump=True), trace_of({**_trace(), f"{_BLOCK}.experts": normal(_TOKENS, _WIDTH)}))
    assert not found.comparison.different
    assert not found.comparison.misfits
    assert found.comparison.compared == (len(_trace()) if chosen else 0)
    assert ("(experts) without the choice" in found.positions[0]) is not chosen


def test_sorted_rows_that_nothing_confirms_are_not_compared() -> None:
    """MLX's sort needn't leave one expert's tokens in order."""
    dump = _dump(is_sorted=True)
    rows = dump[f"{_STACK}.down_proj"]
    rows[[0, 1]] = rows[[1, 0]]
    found = _found(dump, parts=True)
    assert found.comparison.same
    assert found.comparison.compared == 1 + 2 * _EXPERTS
    assert "rows of down_proj, gate_proj, up_proj don't stand by token" in found.positions[1]


def test_a_sum_of_one_expert_a_token_is_no_stack() -> None:
    """Others call what all experts return `experts`; each token's one expert may be weighted in it."""
    choice = _choice()[:, :1]
    dump = {f"{_BLOCK}:experts": choice, f"{_BLOCK}.experts": normal(_TOKENS, _WIDTH)}
    found = report(trace_of(dump, dump=True), trace_of({**_trace(), **dump}))
    assert found.comparison.same
    assert found.comparison.compared == len(dump)
    assert not found.positions

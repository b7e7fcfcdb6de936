"""What the sweep over right pairs counts: the same, different, or a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracetui
from tests.families.models import Family, make_family
from tests.truth.right.pairs import PAIRS, NoPairError, Runs
from tests.truth.right.spike import spiked
from tests.truth.right.sweep import Outcome, outcome_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(make_family("llama", Path(tmp_path_factory.mktemp("llama"))))


@pytest.mark.parametrize(
    "kind", ["eager", "hooks", "states", "bf16", "row bf16", "deep row bf16", "padded left", "batch"]
)
def test_a_right_pair_is_called_the_same(runs: Runs, kind: str) -> None:
    diff = tracetui.diff(*PAIRS[kind](runs))
    assert outcome_of(diff) is Outcome.SAME, str(diff)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(make_family("falcon_mamba", Path(tmp_path_factory.mktemp("recurrent"))))


@pytest.mark.parametrize("kind", ["states", "padded right", "generated", "layers"])
def test_a_right_pair_of_a_recurrent_model_is_called_the_same(recurrent: Runs, kind: str) -> None:
    diff = tracetui.diff(*PAIRS[kind](recurrent))
    assert outcome_of(diff) is Outcome.SAME, str(diff)


def test_a_state_that_both_runs_end_with_is_compared(recurrent: Runs) -> None:
    generated, whole = PAIRS["generated"](recurrent)
    assert not isinstance(generated, dict)
    assert not isinstance(whole, dict)
    sites = {site.site for site in tracetui.diff(generated, whole).report.comparison.sites}
    assert {site for site in sites if site.endswith("layers.1.mixer:state@2")}
    assert not {site for site in sites if site.endswith(("mixer:state", "mixer:state@1"))}


def test_a_list_of_several_stacks_is_known_by_its_values(tmp_path: Path) -> None:
    runs = Runs(make_family("hrm_text", tmp_path))
    diff = tracetui.diff(*PAIRS["states"](runs))
    assert outcome_of(diff) is Outcome.SAME, str(diff)
    assert diff.report.comparison.compared > 10


def test_a_model_that_generates_otherwise_makes_no_pair(tmp_path: Path) -> None:
    with pytest.raises(NoPairError, match="otherwise"):
        PAIRS["generated"](Runs(make_family("roberta", tmp_path)))


def test_a_fault_is_seen_by_what_judges_them(runs: Runs) -> None:
    wrong = {record.key: runs.whole[record.key] for record in runs.whole.records}
    for site in list(wrong):
        if site.endswith("1.mlp.act_fn"):
            wrong[site] = wrong[site] * 1.5
    assert outcome_of(tracetui.diff(wrong, runs.whole)) is Outcome.BLAMES


@pytest.mark.parametrize("of_input", [False, True])
def test_a_spike_makes_one_token_far_longer(runs: Runs, of_input: bool) -> None:
    family: Family = runs.family
    model = spiked(family.model, family.ids, of_input)
    assert model is not None
    trace = tracetui.trace(model, input_ids=family.ids)
    norms = sorted(float((row**2).sum() ** 0.5) for row in trace["model.layers.0"][0])
    assert max(float((row**2).sum() ** 0.5) for row in trace["model.layers.1"][0]) > 50 * norms[len(norms) // 2]


def test_keys_that_are_the_very_output_of_a_norm_have_all_positions_of_a_pass(tmp_path: Path) -> None:
    diff = tracetui.diff(*PAIRS["generated"](Runs(make_family("nanochat", tmp_path))))
    assert outcome_of(diff) is Outcome.SAME, str(diff)

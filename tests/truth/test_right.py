"""What the sweep over right pairs counts: the same, different, or a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

import tracetui
from tests.families.models import Family, make_family
from tests.truth.right.pairs import PAIRS, Runs
from tests.truth.right.spike import spiked
from tests.truth.right.sweep import Outcome, outcome_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(make_family("llama", Path(tmp_path_factory.mktemp("llama"))))


@pytest.mark.parametrize("kind", ["eager", "hooks", "states", "bf16", "row bf16", "padded left", "batch"])
def test_a_right_pair_is_called_the_same(runs: Runs, kind: str) -> None:
    diff = tracetui.diff(*PAIRS[kind](runs))
    assert outcome_of(diff) is Outcome.SAME, str(diff)


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

"""The plan is what a run takes, within 15 %: nobody is refused who has room, and none is killed who hasn't."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.planned_memory import planned_run
from tracetui.analysis.memory import MemoryPlan
from tracetui.models.memory.plan import within
from tracetui.recipe import load_recipe
from tracetui.recording.keep import Keep


def test_the_logits_of_a_long_prompt_over_a_wide_vocabulary_count_once(tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "vocab_size": 128_000, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    run = planned_run(
        str(tmp_path / "config.json"), "--random-tokens", "1x512", "--dtype", "bfloat16", "--keep", "logits"
    )
    assert 0.85 < run.ratio < 1.15


@pytest.mark.parametrize("keep", [Keep(), Keep(everything=False)])
def test_logits_that_are_not_kept_are_there_while_they_are_looked_at(keep: Keep) -> None:
    plan = MemoryPlan(weights=10, kept=10, activations=100, working=5, base=1, available=10_000, logits=60, passing=3)
    held = within(plan, replace(load_recipe("llama-tiny"), keep=keep))
    assert held.peak == plan.peak if keep.everything else held.peak == 10 + 60 + 1


def test_what_a_layer_holds_while_attention_runs_counts_as_far_as_it_is_not_recorded() -> None:
    plan = MemoryPlan(
        weights=10, kept=10, activations=100, working=5, base=1, available=10_000, attending=50, alive=40, reused=7,
        kernels=3,
    )  # fmt: skip
    recipe = load_recipe("llama-tiny")
    kept, dropped = (within(plan, replace(recipe, keep=Keep(everything=each))) for each in (True, False))
    assert kept.peak == 10 + 100 + (50 + 7 + 3) + 1
    assert dropped.peak == 10 + (50 + 40 + 7 + 3) + 1

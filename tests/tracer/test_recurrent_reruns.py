"""Recurrent layers' own steps in runs that wait at one, are cancelled there or are taken up again in the middle."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tracer.test_live import driven
from tests.tracer.test_rerun import gate, made, rerun, same
from tests.tracer.test_stops import next_stop
from tracetui.debugger.session import Finished, until_end
from tracetui.errors import Cancelled
from tracetui.expr.edit_log import EditLog
from tracetui.expr.stop import parse_stop
from tracetui.recipe import Generation, Prompts, Recipe, load_recipe
from tracetui.recipe.recorded.edits import edits_of
from tracetui.recording.record import Record
from tracetui.tracer.gate import Gate
from tracetui.tracer.run import trace_recipe

CONFIG = """{"model_type": "mamba2", "vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 3, "num_heads": 4,
 "head_dim": 8, "state_size": 8, "n_groups": 2, "chunk_size": 4, "expand": 2, "bos_token_id": 0, "pad_token_id": 0,
 "eos_token_id": 1}"""
PROMPT = Prompts(ids=((5, 8, 29, 3, 11),))


@pytest.fixture
def mamba2(tmp_path: Path) -> Recipe:
    (tmp_path / "config.json").write_text(CONFIG)
    loaded = load_recipe(str(tmp_path / "config.json"))
    return replace(loaded, dtype="float32", prompts=PROMPT, generation=Generation(2, stop=()))


@pytest.mark.parametrize("at", ["backbone.layers.1", "backbone.layers.1.mixer:state", "backbone.layers.0.mixer:dt"])
def test_taken_up_in_the_middle_it_is_what_all_of_it_is(mamba2: Recipe, at: str, tmp_path: Path) -> None:
    with made(mamba2) as engine:
        first = engine.run(mamba2.prompts, gate())
        edited = rerun(engine, at, "layers.1: noise 0.3")
    assert not np.array_equal(edited["logits"], first["logits"])
    same(edited, trace_recipe(replace(mamba2, edits=edits_of(edited, ""))), tmp_path)


def test_cancelled_at_a_step_it_leaves_no_profiler(mamba2: Recipe) -> None:
    with made(mamba2) as engine:
        first = engine.run(mamba2.prompts, gate())

        def cancel(record: Record) -> bool:
            if record.key == "backbone.layers.1.mixer:dt":
                cancelled.cancel()
            return False

        cancelled = Gate(cancel, edits=EditLog())
        with pytest.raises(Cancelled):
            engine.run(mamba2.prompts, cancelled)
        assert sys.getprofile() is None
        again = engine.run(mamba2.prompts, gate())
    assert [record.key for record in again.records] == [record.key for record in first.records]


def test_the_model_waits_at_a_step_before_the_kernel_has_returned(mamba2: Recipe) -> None:
    with driven(mamba2) as driver:
        driver.session.stop_at((parse_stop("layers.1.mixer:decay"),))
        driver.session.start(PROMPT, until_end)
        assert next_stop(driver) is not None
        assert driver.trace is not None
        assert driver.trace.records[-1].site == "backbone.layers.1.mixer:decay"
        driver.session.stop_at(())
        driver.session.advance(until_end)
        finished = driver.wait(Finished)
    assert not finished.cancelled
    whole = trace_recipe(mamba2)
    assert [record.key for record in finished.trace.records] == [record.key for record in whole.records]
    np.testing.assert_array_equal(finished.trace["logits@1"], whole["logits@1"])

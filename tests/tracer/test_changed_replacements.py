"""A file that edits take tensors from and that is written meanwhile: a run is of one state of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tracer.recipes import recipe
from tests.tracer.test_live import Driver, driven
from tracetui.debugger.session import Failed, Finished, Stopped, until_end
from tracetui.expr.edit_parse import parse_edit
from tracetui.recipe import Prompts, Recipe
from tracetui.recording.trace import Trace

PROMPT = Prompts(ids=((5, 17, 3, 99),))
TOLD = "F.npz: was changed while it was open; r runs it again"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(1.0)


def write(number: float) -> None:
    layer = np.full((1, 4, 32), number, np.float32)
    layers: dict[str, Any] = {f"model.layers.{index}": layer for index in range(3)}
    np.savez("F.npz", **layers)


def edited(*layers: int) -> Recipe:
    return recipe(edits=tuple(parse_edit(f"layers.{layer}: replace @F.npz") for layer in layers))


def finished(driver: Driver) -> Trace:
    ended = driver.wait_for_either(Finished, Failed)
    assert isinstance(ended, Finished)
    assert ended.trace is not None
    return ended.trace


def site(trace: Trace, name: str) -> int:
    return next(record.index for record in trace.records if record.site == name)


@pytest.mark.parametrize(("layers", "written", "ends"), [((0, 1), True, 0), ((1,), True, 2.0), ((0, 1), False, 1.0)])
def test_a_run_taken_up_again_reads_what_the_run_before_it_read(
    layers: tuple[int, ...], written: bool, ends: float
) -> None:
    of = edited(*layers)
    with driven(of) as driver:
        driver.session.start(PROMPT, until_end)
        trace = finished(driver)
        if written:
            write(2.0)
        driver.session.rerun(site(trace, "model.layers.1"), of.edits, until_end)
        ended = driver.wait_for_either(Finished, Failed)
        if not ends:
            assert isinstance(ended, Failed)
            assert ended.error == TOLD
            driver.session.start(PROMPT, until_end)
            again = finished(driver)
            assert [float(again[f"model.layers.{layer}"].mean()) for layer in layers] == [2.0, 2.0]
        else:
            assert isinstance(ended, Finished)
            assert ended.trace is not None
            assert float(ended.trace["model.layers.1"].mean()) == ends


def test_a_file_written_at_a_stop_between_two_of_its_tensors_is_told() -> None:
    with driven(edited(0, 1)) as driver:
        driver.session.start(PROMPT, lambda record: record.site == "model.layers.0")
        driver.wait(Stopped)
        write(2.0)
        driver.session.advance(until_end)
        ended = driver.wait_for_either(Finished, Failed)
    assert isinstance(ended, Failed)
    assert ended.error == TOLD

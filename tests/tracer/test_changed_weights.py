"""Weight files that are written while the model waits, or between two runs: told, and never computed with unnoticed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from tests.models.hf_files import model_of, saved
from tests.models.meta_files import CHECKPOINT, state_dict, write_folder
from tests.tracer.test_live import Driver, driven
from tracetui.debugger.session import Failed, Finished, Prepared, Stopped, until_end, until_first
from tracetui.recipe import Prompts, Recipe, load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

PROMPT = Prompts(ids=((5, 17, 3, 99),))
TOLD = "was changed while it was open; r runs it again"
Write = Callable[[Path, float], None]


def _safetensors(folder: Path, factor: float) -> None:
    state = {name: tensor * factor for name, tensor in model_of("llama").state_dict().items()}
    (folder / "model.safetensors").write_bytes(save(state))


def _torch_save(folder: Path, factor: float) -> None:
    torch.save({name: tensor * factor for name, tensor in state_dict().items()}, folder / CHECKPOINT)


@pytest.fixture(params=[_safetensors, _torch_save])
def write(request: pytest.FixtureRequest) -> Write:
    found: Write = request.param
    return found


@pytest.fixture(params=["1", "1G"], ids=["streamed", "kept"])
def recipe(request: pytest.FixtureRequest, tmp_path: Path, write: Write) -> Recipe:
    folder = saved(tmp_path / "llama") if write is _safetensors else write_folder(tmp_path / "llama")
    write(folder, 1.0)
    return with_options(load_recipe(str(folder)), dtype="float32", memory=request.param)


def logits(trace: Trace | None) -> np.ndarray:
    assert trace is not None
    found: np.ndarray = trace["logits"]
    return found


def begin(driver: Driver, until: Callable[..., bool] = until_end) -> Finished | Failed:
    driver.session.start(PROMPT, until)
    return driver.wait_for_either(Finished, Failed)


def test_a_file_written_at_a_stop_ends_the_run_and_the_next_one_reads_it(recipe: Recipe, write: Write) -> None:
    folder = recipe.weights
    assert folder is not None
    before = trace_recipe(recipe, ids=PROMPT.ids[0])["logits"]
    with driven(recipe) as driver:
        begin(driver)
        driver.session.start(PROMPT, lambda record: record.site.endswith("layers.1"))
        driver.wait(Stopped)
        # What is kept is all in memory now, and nothing more is read of the file.
        write(folder, 2.0)
        driver.session.advance(until_end)
        ended = driver.wait_for_either(Finished, Failed)
        assert isinstance(ended, Failed)
        assert ended.error.endswith(TOLD)
        again = begin(driver)
        assert isinstance(again, Finished)
    fresh = trace_recipe(recipe, ids=PROMPT.ids[0])["logits"]
    assert np.array_equal(logits(again.trace), fresh)
    assert not np.allclose(fresh, before)


def test_a_file_written_between_two_runs_is_read_anew(recipe: Recipe, write: Write) -> None:
    folder = recipe.weights
    assert folder is not None
    with driven(recipe) as driver:
        first = begin(driver)
        write(folder, 2.0)
        driver.session.rerun(3, (), until_end)
        again = driver.wait_for_either(Finished, Failed)
        assert isinstance(again, Failed), "what lies before comes from the old weights"
        assert again.error.endswith(TOLD)
        second = begin(driver)
    assert isinstance(first, Finished)
    assert isinstance(second, Finished)
    assert np.array_equal(logits(second.trace), trace_recipe(recipe, ids=PROMPT.ids[0])["logits"])


@pytest.mark.parametrize("changed", [True, False])
def test_a_configuration_that_says_something_else_is_told(recipe: Recipe, write: Write, changed: bool) -> None:
    folder = recipe.weights
    assert folder is not None
    (path,) = [*folder.glob("config.json"), *folder.glob("params.json")]
    with driven(recipe) as driver:
        driver.wait(Prepared)
        if not changed:
            write(folder, 2.0)
        said = json.loads(path.read_text())
        path.write_text(json.dumps({**said, "rope_theta": 77.0}) if changed else path.read_text())
        driver.session.start(PROMPT, until_end)
        prepared = driver.wait(Prepared)
    told = f"{path}: was changed while it was open: this runs as it was; start again to have it read"
    assert (told in prepared.notes) == changed


def test_generation_does_not_go_on_with_other_weights(recipe: Recipe, write: Write) -> None:
    folder = recipe.weights
    assert folder is not None
    with driven(recipe) as driver:
        begin(driver)
        write(folder, 2.0)
        driver.session.generate(2, until_end)
        ended = driver.wait_for_either(Finished, Failed)
        assert isinstance(ended, Failed)
        assert ended.error.endswith(TOLD)


def test_a_file_cut_short_at_a_stop_is_told(recipe: Recipe) -> None:
    folder = recipe.weights
    assert folder is not None
    (path,) = [*folder.glob("*.safetensors"), *folder.glob("*.pth")]
    with driven(recipe) as driver:
        driver.session.start(PROMPT, until_first)
        driver.wait(Stopped)
        os.truncate(path, 5000)
        driver.session.advance(until_end)
        ended = driver.wait_for_either(Finished, Failed)
        assert isinstance(ended, Failed)
        assert ended.error == f"{path}: {TOLD}"


def test_a_file_that_is_only_read_or_renamed_beside_goes_on(recipe: Recipe) -> None:
    folder = recipe.weights
    assert folder is not None
    with driven(recipe) as driver:
        driver.session.start(PROMPT, until_first)
        driver.wait(Stopped)
        for path in folder.iterdir():
            path.read_bytes()
            path.chmod(0o600)
        (folder / "notes.txt").write_text("beside")
        driver.session.advance(until_end)
        ended = driver.wait_for_either(Finished, Failed)
    assert isinstance(ended, Finished)
    assert np.array_equal(logits(ended.trace), trace_recipe(recipe, ids=PROMPT.ids[0])["logits"])

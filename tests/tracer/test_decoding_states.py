"""Families whose layers keep states beside keys and values: each pass is transformers' own generate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.models import SIZES
from tracetui.debugger.session import Event, Started
from tracetui.recipe import Generation, Prompts, Recipe, load_recipe
from tracetui.recording.trace import Trace
from tracetui.tracer.engine import Engine
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.module_state import ModuleState

HYBRID: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "head_dim": 8},
    "recurrent_gemma": {
        "num_hidden_layers": 3, "block_types": ["recurrent", "recurrent", "attention"], "lru_width": 32,
        "attention_window_size": 4,
    },
    "openai-gpt": {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "hrm_text": {"head_dim": 8, "num_key_value_heads": 4, "H_cycles": 1, "L_cycles": 2},
}  # fmt: skip
IDS = (5, 8, 29, 3, 9, 8, 41, 2)
COUNT = 3


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A family's tiny random model as transformers saves it."""
    path = tmp_path_factory.mktemp("hybrid")
    fields = {**({} if "n_embd" in HYBRID[request.param] else SIZES), **HYBRID[request.param]}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(request.param, **fields), dtype=torch.float32)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(path)
    return path


def of(folder: Path, ids: tuple[int, ...] = IDS) -> Recipe:
    found = load_recipe(str(folder))
    wanted = Generation(COUNT, stop=())
    return replace(found, dtype="float32", memory=0, prompts=Prompts(ids=(ids,)), generation=wanted)


def logits(trace: Trace) -> list[np.ndarray[Any, Any]]:
    """Of each pass, after its last token: [V]."""
    return [trace[f"logits@{number}" if number else "logits"][0, -1] for number in range(COUNT)]


FOLDERS = pytest.mark.parametrize("folder", ["bamba", "recurrent_gemma"], indirect=True)


@FOLDERS
def test_each_pass_is_that_of_generate_and_of_all_tokens_at_once(folder: Path) -> None:
    engine = Engine(of(folder))
    trace = engine.run(engine.runnable.recipe.prompts, Gate())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    how: dict[str, Any] = {"max_new_tokens": COUNT, "min_new_tokens": COUNT, "do_sample": False, "eos_token_id": None}
    with torch.no_grad():
        theirs = model.generate(torch.tensor([IDS]), output_logits=True, return_dict_in_generate=True, **how)
        whole = model(input_ids=theirs.sequences[:, :-1], use_cache=False).logits[0]  # [T,V]
    assert [token.id for token in trace.tokens[0]] == theirs.sequences[0].tolist()
    for number, ours in enumerate(logits(trace)):
        np.testing.assert_allclose(ours, theirs.logits[number][0].numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours, whole[len(IDS) - 1 + number].numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(trace["logits"][0], whole[: len(IDS)].numpy(), rtol=0, atol=1e-4)


@FOLDERS
def test_a_new_prompt_knows_nothing_of_the_last_one(folder: Path) -> None:
    """Of one token, which begins no state anew: recurrent_gemma has those of the last run in its modules."""
    short = of(folder, IDS[:1])
    fresh = Engine(short).run(short.prompts, Gate())
    engine = Engine(of(folder))
    engine.run(engine.runnable.recipe.prompts, Gate())
    for ours, expected in zip(logits(engine.run(short.prompts, Gate())), logits(fresh), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("folder", HYBRID, indirect=True)
def test_a_run_taken_up_again_is_the_same_and_runs_whole(folder: Path) -> None:
    """openai-gpt keeps no cache at all; hrm_text runs each layer several times, with a place in the cache for each."""
    events: list[Event] = []
    engine = Engine(of(folder), events.append, goes_on=True)
    first = engine.run(engine.runnable.recipe.prompts, Gate())
    record = next(record for record in first.records if record.layer == 1 and record.pass_ == 1)
    again = engine.rerun(record.index, Gate())
    (*_, begun) = (event for event in events if isinstance(event, Started))
    assert begun.cut.whole
    for ours, expected in zip(logits(again), logits(first), strict=True):
        np.testing.assert_array_equal(ours, expected)


class Counter(nn.Module):
    """A module that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: torch.Tensor | None = None
        self.register_buffer("longest", torch.zeros(1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: [T]"""
        total = x if self.kept is None else x + self.kept  # [T]
        self.kept = total
        self.calls = getattr(self, "calls", 0) + 1
        return total


def _fill_buffer(module: Counter) -> None:
    module.longest = torch.ones(1)


@pytest.mark.parametrize("change", [lambda module: module(torch.ones(2)), _fill_buffer])
def test_what_modules_keep_is_told_and_put_back(change: Callable[[Counter], object]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), Counter())
    state = ModuleState(model)
    state.begin()
    state.end()
    assert state.changed() == ""
    module = model[1]
    assert isinstance(module, Counter)
    change(module)
    state.end()
    assert state.changed() == "1"
    state.begin()
    assert state.changed() == ""
    assert not hasattr(model[1], "calls")
    torch.testing.assert_close(model[1](torch.ones(2)), torch.ones(2))


def test_what_somebody_else_changed_stays() -> None:
    model = nn.Sequential(Counter())
    module = model[0]
    assert isinstance(module, Counter)
    state = ModuleState(model)
    state.begin()
    module(torch.ones(2))
    state.end()
    theirs = torch.zeros(2)
    module.kept = theirs
    vars(module)["scale"] = 2.0
    state.begin()
    assert module.kept is theirs
    assert vars(module)["scale"] == 2.0

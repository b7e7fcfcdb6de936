"""Lists of hidden states, as transformers returns them, are known by what they hold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.analysis.diff.made import normal, trace_of
from tracetui.analysis.diff.report import Report, report
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array
from tracetui.tracer.call import record_call

IDS = torch.tensor([[3, 1, 4, 1, 5]])


def _models() -> dict[str, PreTrainedModel]:
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 32}
    llama = LlamaForCausalLM(LlamaConfig(hidden_size=16, intermediate_size=24, **sizes))
    gpt2 = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=3, n_head=2, vocab_size=32, n_positions=16))
    return {"llama": llama.eval(), "gpt2": gpt2.eval()}


@pytest.fixture(scope="module")
def runs() -> dict[str, tuple[list[Array], Trace]]:
    found = {}
    for name, model in _models().items():
        with torch.no_grad():
            states = model(input_ids=IDS, output_hidden_states=True).hidden_states
        found[name] = [state.numpy() for state in states], record_call(model, input_ids=IDS)
    return found


def _beside(arrays: Mapping[str, Array], trace: Trace, fuzzy: bool = False) -> Report:
    return report(trace_of(arrays, dump=True), trace, fuzzy=fuzzy)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("name", ["hidden_states.{}", "hs_{}", "out/hidden_state[{}]", "decoder_hidden_states-{}"])
def test_a_list_is_known_whatever_it_is_called(
    runs: dict[str, tuple[list[Array], Trace]], family: str, name: str
) -> None:
    states, trace = runs[family]
    for fuzzy in (False, True):
        found = _beside({name.format(number): state for number, state in enumerate(states)}, trace, fuzzy)
        assert found.comparison.same
        assert found.comparison.compared == len(states)


def test_streams_that_are_put_together_in_the_end_are_a_list_whose_last_is_one() -> None:
    names = ("model.layers.0:input", "model.layers.0", "model.layers.1")
    arrays = {name: normal(1, 4, 3, 8, seed=seed) for seed, name in enumerate(names)}
    arrays["model.mix"], arrays["model.norm"] = normal(1, 4, 24), normal(1, 4, 8)
    states = {f"hidden_states.{n}": arrays[name] for n, name in enumerate((*names[:2], "model.norm"))}
    found = report(trace_of(states, dump=True), trace_of(arrays))
    assert found.comparison.same
    assert found.comparison.compared == 3


def test_the_last_norm_is_the_one_of_the_stack() -> None:
    """A head's own norm comes after it."""
    names = ("model.layers.0:input", "model.layers.0", "model.layers.1", "model.ln", "head.transform.norm")
    arrays = {name: normal(1, 4, 8, seed=seed) for seed, name in enumerate(names)}
    states = {f"hidden_states.{number}": arrays[name] for number, name in enumerate((*names[:2], names[3]))}
    found = report(trace_of(states, dump=True), trace_of(arrays))
    assert found.comparison.same
    assert found.comparison.sites[-1].pair.b.record.site == "model.ln"


def test_one_tensor_may_hold_them_all(runs: dict[str, tuple[list[Array], Trace]]) -> None:
    states, trace = runs["llama"]
    found = _beside({"hidden_states": np.stack(states)}, trace)
    assert found.comparison.same
    assert [site.site for site in found.comparison.sites] == [
        "model.layers.0:input", "model.layers.0", "model.layers.1", "model.norm",
    ]  # fmt: skip


def test_a_list_of_the_layers_outputs_alone_ends_before_the_norm(runs: dict[str, tuple[list[Array], Trace]]) -> None:
    states, trace = runs["llama"]
    last = trace["model.layers.2"]
    for arrays in ([*states[1:3], last], [*states[:3], last]):
        found = _beside({f"hs.{number}": state for number, state in enumerate(arrays)}, trace)
        assert found.comparison.same
        assert found.comparison.compared == len(arrays)


def test_the_first_state_that_differs_is_named(runs: dict[str, tuple[list[Array], Trace]]) -> None:
    states, trace = runs["llama"]
    arrays = {f"hidden_states.{i}": state * (1.5 if i > 1 else 1) for i, state in enumerate(states)}
    found = _beside(arrays, trace)
    assert found.first is not None
    assert found.first.site == "model.layers.1"
    assert found.feeds is not None
    assert not found.feeds.direct

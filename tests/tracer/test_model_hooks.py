"""What is recorded is what the modules returned, and nothing of the watching stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.hooks_left import hooks_left
from tests.tracer.models import prompt, tiny_llama
from tracetui.models.recordable.watched_call import may_be_watched
from tracetui.recording.record import Record
from tracetui.recording.stepping import encloses
from tracetui.recording.trace import RunInfo, Trace
from tracetui.tracer.call import record_call
from tracetui.tracer.capture.recorder import Recorder
from tracetui.tracer.edits import Editor
from tracetui.tracer.gate import Gate
from tracetui.tracer.hooks.model_hooks import ModelHooks
from tracetui.tracer.hooks.pass_context import Pass


@contextmanager
def returned_by(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Clones of what every module returns, by an independent hook."""
    found: dict[str, torch.Tensor] = {}
    handles = []
    for path, module in model.named_modules():

        def keep(module: nn.Module, args: Any, output: Any, path: str = path) -> None:
            first = output.logits if hasattr(output, "logits") else output[0] if not torch.is_tensor(output) else output
            found[path or "logits"] = first.clone()

        handles.append(module.register_forward_hook(keep))
    yield found
    for handle in handles:
        handle.remove()


def watched(recorder: Recorder) -> Pass:
    return Pass(recorder, Editor(recorder))


def traced(model: nn.Module, **inputs: Any) -> Trace:
    return record_call(model, input_ids=prompt(), use_cache=False, **inputs)


def test_every_module_is_recorded_with_what_it_returned() -> None:
    model = tiny_llama()
    with returned_by(model) as returned:
        trace = traced(model)
    for path, tensor in returned.items():
        np.testing.assert_array_equal(trace[path], tensor.numpy(), err_msg=path)
    assert len(returned) > 20


def test_watching_changes_no_result() -> None:
    model = tiny_llama()
    with torch.no_grad():
        plain = model(input_ids=prompt(), use_cache=False).logits
    np.testing.assert_array_equal(traced(model)["logits"], plain.numpy())


def test_the_sites_of_a_layer_in_order_of_completion() -> None:
    places = [record.site_in_layer for record in traced(tiny_llama()).records if record.layer == 1]
    assert places == [
        ":input", ".input_layernorm", ".self_attn.q_proj", ".self_attn.k_proj", ".self_attn.v_proj", ".self_attn:q",
        ".self_attn:k", ".self_attn:v", ".self_attn:heads", ".self_attn.o_proj:input", ".self_attn.o_proj",
        ".self_attn", ":attn_residual", ".post_attention_layernorm", ".mlp.gate_proj", ".mlp.act_fn", ".mlp.up_proj",
        ".mlp.down_proj:input", ".mlp.down_proj", ".mlp", "",
    ]  # fmt: skip


def test_what_each_module_was_given_is_known_and_recorded_once() -> None:
    trace = traced(tiny_llama())

    def given(site: str) -> list[str]:
        return [trace.records[index].site_in_layer for index in trace.records[_index(trace, site)].inputs]

    assert given("model.layers.1.self_attn.q_proj") == [".input_layernorm"]
    assert given("model.layers.1.mlp.down_proj") == [".mlp.down_proj:input"]
    assert given("model.layers.1.post_attention_layernorm") == [":attn_residual"]
    assert given("model.layers.1") == [":input", "model.rotary_emb", "model.rotary_emb"]
    product = trace["model.layers.1.mlp.act_fn"] * trace["model.layers.1.mlp.up_proj"]
    np.testing.assert_array_equal(trace["model.layers.1.mlp.down_proj:input"], product)


def _index(trace: Trace, site: str) -> int:
    record = trace.find(site)
    assert record is not None
    return record.index


def test_the_residual_stream_adds_up() -> None:
    trace = traced(tiny_llama())
    for layer in ("model.layers.0", "model.layers.1"):
        after_attention = trace[f"{layer}:input"] + trace[f"{layer}.self_attn"]
        np.testing.assert_array_equal(trace[f"{layer}:attn_residual"], after_attention)
        np.testing.assert_array_equal(trace[layer], after_attention + trace[f"{layer}.mlp"])
    np.testing.assert_array_equal(trace["model.layers.1:input"], trace["model.layers.0"])


def test_a_tensor_that_passes_through_several_modules_is_kept_once() -> None:
    trace = traced(tiny_llama())
    for one, other in (
        ("model.norm", "model"),
        ("lm_head", "logits"),
        ("model.layers.0.mlp.down_proj", "model.layers.0.mlp"),
    ):
        first, second = trace.find(one), trace.find(other)
        assert first is not None
        assert second is not None
        assert trace.value(first) is trace.value(second)


def test_depth_and_parent_follow_the_calls() -> None:
    records = {record.key: record for record in traced(tiny_llama()).records}
    query, attention, layer = (records[f"model.layers.0{part}"] for part in (".self_attn:q", ".self_attn", ""))
    assert (query.depth, attention.depth, layer.depth, records["logits"].depth) == (4, 3, 2, 0)
    assert query.parent == attention.site
    assert encloses(attention, query)
    assert encloses(layer, query)
    assert encloses(records["logits"], query)
    assert not encloses(records["model.layers.1"], query)


def test_a_tuples_tensors_are_parts_and_repeated_calls_are_numbered() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.inner(x), self.inner(x + 1)

    keys = [record.key for record in record_call(Twice(), torch.zeros(2)).records]
    assert keys == ["inner", "inner@0.1", "output", "output#1"]


@pytest.mark.parametrize("stop_at", ["model.embed_tokens", "model.layers.0.self_attn:q", "model.layers.1", "logits"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_leaving_in_the_middle_leaves_no_hook_behind(stop_at: str, error: type[BaseException]) -> None:
    model = tiny_llama()
    before = hooks_left(model), model.config._attn_implementation

    def arrived(record: Record) -> None:
        if record.site == stop_at:
            raise error

    with (
        pytest.raises(error),
        torch.no_grad(),
        ModelHooks(model, watched(Recorder(RunInfo(), (), arrived))),
    ):
        model(input_ids=prompt(), use_cache=False)
    assert (hooks_left(model), model.config._attn_implementation) == before


def test_failing_half_way_through_putting_hooks_on_takes_them_off(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama()
    calls = 0

    def fails_later(module: nn.Module) -> bool:
        nonlocal calls
        calls += 1
        if calls > 10:
            raise MemoryError
        return may_be_watched(module)

    monkeypatch.setattr("tracetui.tracer.hooks.module_calls.may_be_watched", fails_later)
    with pytest.raises(MemoryError), ModelHooks(model, watched(Recorder(RunInfo(), (), Gate().arrived))):
        pass
    assert calls == 11
    assert hooks_left(model) == 0


def test_hooks_of_somebody_else_are_heard_first_and_what_they_change_is_recorded() -> None:
    model = tiny_llama()
    inner = model.model.layers[0].mlp
    told = [
        inner.register_forward_pre_hook(lambda _, args: (args[0] * 0,)),
        inner.up_proj.register_forward_hook(lambda *about: about[2] + 1),
    ]
    trace = traced(model)
    for each in told:
        each.remove()
    assert (trace["model.layers.0.mlp.up_proj"] == 1).all()
    assert not trace["model.layers.0.mlp.gate_proj"].any()
    assert trace.records[0].site == "model.embed_tokens"

"""softmax(scores)·V against what real models' kernels gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.tracer.latent_models import tiny
from tests.tracer.models import prompt, tiny_gemma2, tiny_gpt_oss, tiny_llama, tiny_llama4, tiny_mistral
from tracetui.analysis.attention.heads import all_heads_identity, head_identity
from tracetui.analysis.attention.scores import AttentionView, attention_at
from tracetui.recording.trace import Trace
from tracetui.recording.value import ArrayValue
from tracetui.tracer.call import record_call

FAMILIES: list[Callable[[], Any]] = [
    tiny_llama,
    tiny_mistral,
    tiny_gemma2,
    tiny_gpt_oss,
    tiny_llama4,
    lambda: tiny("deepseek_v3"),
]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def views(trace: Trace) -> list[AttentionView]:
    found = [attention_at(trace, record) for record in trace.records if record.role == "q"]
    return [view for view in found if view]


def traced(build: Callable[[], Any], dtype: torch.dtype) -> Trace:
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return record_call(build().to(dtype), input_ids=prompt(rows=2), attention_mask=mask, use_cache=False)


@pytest.mark.parametrize("build", FAMILIES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_holds_for_every_head_of_every_family(build: Callable[[], Any], dtype: torch.dtype) -> None:
    trace = traced(build, dtype)
    assert len(views(trace)) == 2
    for view in views(trace):
        for batch in range(2):
            for head in range(view.heads):
                found = head_identity(view, head, batch)
                assert found is not None
                assert found.holds, (view.site, head, batch, found)
        together = all_heads_identity(view)
        assert together is not None
        assert together.holds


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_head_that_is_a_little_wrong_breaks_it(dtype: torch.dtype) -> None:
    trace = traced(tiny_llama, dtype)
    record = trace.find("model.layers.1.self_attn:heads")
    assert record is not None
    heads = trace[record.key].astype(np.float32)  # [B,H,T,Kv]
    heads[1, 2, 4] *= 1.2
    values = list(trace.values)
    values[record.index] = ArrayValue(heads, record.dtype)
    view = views(replace(trace, values=values))[1]
    holds = [[(found := head_identity(view, head, batch)) and found.holds for head in range(4)] for batch in range(2)]
    assert holds == [[True] * 4, [True, True, False, True]]
    together = all_heads_identity(view)
    assert together is not None
    assert not together.holds


def test_a_kernel_that_has_not_run_yet_has_nothing_to_compare() -> None:
    trace = traced(tiny_llama, torch.float32)
    record = trace.find("model.layers.0.self_attn:heads")
    assert record is not None
    view = views(replace(trace, records=list(trace.records)[: record.index]))[0]
    assert head_identity(view, 0) is None
    assert all_heads_identity(view) is None


def test_checking_all_heads_can_be_cancelled() -> None:
    view = views(traced(tiny_llama, torch.float32))[0]
    asked = iter([False, False, True])
    assert all_heads_identity(view, lambda: next(asked)) is None
    assert list(asked) == []


def test_a_query_that_sees_nothing_is_left_out() -> None:
    mask = torch.ones(1, 9, dtype=torch.long)
    mask[0, :3] = 0
    model = tiny_llama()
    model.set_attn_implementation("eager")
    trace = record_call(model, input_ids=prompt(), attention_mask=mask, use_cache=False)
    found = all_heads_identity(views(trace)[0])
    assert found is not None
    assert found.holds

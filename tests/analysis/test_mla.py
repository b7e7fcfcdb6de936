"""Two ways to latent attention's scores, and what each caches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.tracer.latent_models import FAMILIES, LATENT, tiny
from tests.tracer.models import prompt, tiny_llama
from tracetui.analysis.attention.mla import CacheCost, LatentView, cache_cost, latent_of
from tracetui.analysis.attention.scores import attention_at
from tracetui.recording.trace import Trace
from tracetui.recording.value import ArrayValue
from tracetui.tracer.call import record_call

NOPE, ROPE, RANK, VALUE = (LATENT[f] for f in ("qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank", "v_head_dim"))


def latents(trace: Trace) -> list[LatentView]:
    views = [attention_at(trace, record) for record in trace.records if record.role == "q"]
    return [latent for view in views if view and (latent := latent_of(view))]


def traced(family: str, dtype: torch.dtype = torch.float32) -> Trace:
    return record_call(tiny(family).to(dtype), input_ids=prompt(rows=2), use_cache=False)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_both_ways_agree_as_far_as_the_dtype_rounds(family: str, dtype: torch.dtype) -> None:
    trace = traced(family, dtype)
    assert len(latents(trace)) == 2
    for latent in latents(trace):
        assert (latent.rank, latent.nope_width, latent.rope_width) == (RANK, NOPE, ROPE)
        for batch in range(2):
            for head in range(4):
                found = latent.two_ways(head, batch)
                assert found.holds, (head, batch, found)
                assert found.difference == np.abs(latent.difference(head, batch)).max()
                assert found.tolerance < np.abs(latent.scores(head, batch)).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_agree_at_deepseek_s_own_widths(dtype: torch.dtype) -> None:
    """Sums of 512 large terms: what float32 rounds away must not look like a fault."""
    widths = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
    model = tiny("deepseek_v3", **widths, num_hidden_layers=1, head_dim=64).to(dtype)
    trace = record_call(model, input_ids=prompt(tokens=60), use_cache=False)
    for head in range(4):
        found = latents(trace)[0].two_ways(head)
        assert found.holds, found
        assert found.difference > 0


@pytest.mark.parametrize("role", ["kv_latent", "k_rope", "q_absorbed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_wrong_row_breaks_it(role: str, dtype: torch.dtype) -> None:
    trace = traced("deepseek_v3", dtype)
    record = trace.find(f"model.layers.0.self_attn:{role}")
    assert record is not None
    wrong = trace[record.key].astype(np.float32)
    wrong[..., -1, :] = wrong[..., 0, :]
    values = list(trace.values)
    values[record.index] = ArrayValue(wrong, record.dtype)
    assert not latents(replace(trace, values=values))[0].two_ways(0).holds


def test_what_deepseek_v3_caches() -> None:
    """The published figures: 128·(192+128) values a token and layer, or 512+64."""
    trace = traced("deepseek_v3", torch.bfloat16)
    kernel = {"q": (1, 128, 5, 192), "k": (1, 128, 5, 192), "v": (1, 128, 5, 128)}
    sizes = {**kernel, "kv_latent": (1, 5, 512), "k_rope": (1, 5, 64)}
    records = [
        replace(record, shape=sizes[record.role]) if record.role in sizes else record for record in trace.records
    ]
    cost = cache_cost(latents(replace(trace, records=records))[0], {"num_hidden_layers": 61})
    assert cost == CacheCost(128 * 320 * 2, 576 * 2, 2 * 128 * 128 * 2, 61, "bfloat16")
    assert round(cost.saving) == 71


def test_layers_are_the_whole_models() -> None:
    latent = latents(traced("longcat_flash"))[0]
    assert cache_cost(latent, {"num_layers": 14}).layers == 28
    assert cache_cost(latent, {"num_layers": 14, "num_hidden_layers": 28}).layers == 28
    assert cache_cost(latent, {}).layers == 2


def test_other_attention_has_no_latent_and_a_kernel_on_its_way_not_yet() -> None:
    assert not latents(record_call(tiny_llama(), input_ids=prompt(), use_cache=False))
    trace = traced("deepseek_v3")
    record = trace.find("model.layers.0.self_attn:q_absorbed")
    assert record is not None
    assert not latents(replace(trace, records=list(trace.records)[: record.index]))

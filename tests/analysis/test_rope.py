"""Which layout a model's rotary embedding has, told from its tensors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.latent_models import tiny
from tests.tracer.models import SIZES, prompt, seeded
from tracetui.analysis.attention.scores import AttentionView, attention_at
from tracetui.analysis.rope.pairs import RopeCheck, Untold, check_rope
from tracetui.recording.trace import Trace
from tracetui.recording.value import ArrayValue
from tracetui.tracer.call import record_call

THETA = 10000.0
SMALL: dict[str, Any] = {**SIZES, "max_position_embeddings": 64}
HEAD8: dict[str, Any] = {**SMALL, "head_dim": 8}
UNGROUPED: dict[str, Any] = {**SMALL, "num_key_value_heads": 4}
SHORT: dict[str, Any] = {"vocab_size": 61, "num_hidden_layers": 2, "num_attention_heads": 4}
KINDS = ["full_attention", "sliding_attention"]


def built(family: str, **fields: Any) -> Any:
    return seeded(AutoModelForCausalLM.from_config, AutoConfig.for_model(family, **fields))


def traced(model: Any, tokens: int = 9, dtype: torch.dtype = torch.float32) -> Trace:
    return record_call(model.to(dtype), input_ids=prompt(rows=2, tokens=tokens), use_cache=False)


def views(trace: Trace) -> list[AttentionView]:
    found = [attention_at(trace, record) for record in trace.records if record.role == "q"]
    return [view for view in found if view]


def told(view: AttentionView, head: int = 0, batch: int = 0) -> RopeCheck:
    found = check_rope(view, head, batch)
    assert isinstance(found, RopeCheck), found
    return found


CASES: dict[str, tuple[Any, str, int, int]] = {
    "llama": (lambda: built("llama", **SMALL), "halves", 8, 8),
    "llama, as many tokens as heads": (lambda: built("llama", **SMALL), "halves", 8, 8),
    "qwen2, biased": (lambda: built("qwen2", **SMALL), "halves", 8, 8),
    "qwen3, norms before": (lambda: built("qwen3", **HEAD8), "halves", 8, 8),
    "olmo2, norms over all heads": (lambda: built("olmo2", **SMALL), "halves", 8, 8),
    "stablelm, half of it": (lambda: built("stablelm", **UNGROUPED, partial_rotary_factor=0.5), "halves", 4, 8),
    "glm, half of it": (lambda: built("glm", **HEAD8, partial_rotary_factor=0.5), "pairs", 4, 8),
    "cohere": (lambda: built("cohere", **SMALL), "pairs", 8, 8),
    "gemma3, two embeddings": (lambda: built("gemma3_text", **HEAD8, layer_types=KINDS), "halves", 8, 8),
    "deepseek_v3, pairs": (lambda: tiny("deepseek_v3", rope_interleave=True), "pairs", 4, 12),
    "deepseek_v3, halves": (lambda: tiny("deepseek_v3", rope_interleave=False), "halves", 4, 12),
    "deepseek_v3, whole query": (lambda: tiny("deepseek_v3", q_lora_rank=None), "pairs", 4, 12),
    "deepseek_v2, complex": (lambda: tiny("deepseek_v2"), "pairs", 4, 12),
    "longcat, scaled": (lambda: tiny("longcat_flash"), "pairs", 4, 12),
    "minicpm3": (lambda: tiny("minicpm3"), "halves", 4, 12),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_layout_agrees_with_the_kernel_and_the_other_doesnt(case: str, dtype: torch.dtype) -> None:
    build, layout, rotated, width = CASES[case]
    trace = traced(build(), 4 if "as many" in case else 9, dtype)
    assert len(views(trace)) == 2
    for view in views(trace):
        for head, batch in ((0, 0), (3, 1)):
            found = told(view, head, batch)
            assert (found.layout, found.rotated, found.width) == (layout, rotated, width), (view.site, found.off)
            for name, scores in found.scores.items():
                off = np.abs(scores.astype(float) - view.matrix("scores", head, batch)).max()
                assert off == found.off[name].difference


def test_long_prompts_in_bfloat16_are_still_told() -> None:
    """Of many scores some are rounded far; the wrong layout is much farther."""
    model = built("llama", **{**SMALL, "hidden_size": 256, "max_position_embeddings": 512})
    found = told(views(traced(model, 400, torch.bfloat16))[0], 2)
    assert found.layout == "halves"
    assert found.off["halves"].difference < found.off["halves"].tolerance / 1.5
    assert found.off["pairs"].difference > 10 * found.off["pairs"].tolerance


def straight(q: npt.NDArray[Any], k: npt.NDArray[Any], layout: str, scale: float) -> npt.NDArray[Any]:
    """Scores [T,S] of rows turned element by element, with angles from the formula alone."""
    size = q.shape[1]

    def turn(row: npt.NDArray[Any], position: int) -> npt.NDArray[Any]:
        result = row.astype(float)
        for pair in range(size // 2):
            one, other = (pair, pair + size // 2) if layout == "halves" else (2 * pair, 2 * pair + 1)
            angle = position * THETA ** (-2 * pair / size)
            result[one] = row[one] * np.cos(angle) - row[other] * np.sin(angle)
            result[other] = row[one] * np.sin(angle) + row[other] * np.cos(angle)
        return result

    return np.array([[turn(a, t) @ turn(b, s) * scale for s, b in enumerate(k)] for t, a in enumerate(q)])


@pytest.mark.parametrize("layout", ["halves", "pairs"])
def test_both_are_what_turning_element_by_element_gives(layout: Any) -> None:
    trace = traced(built("llama", **SMALL))
    view = views(trace)[1]
    q = trace["model.layers.1.self_attn.q_proj"][0].reshape(9, 4, 8)[:, 3]  # [T,K]
    k = trace["model.layers.1.self_attn.k_proj"][0].reshape(9, 2, 8)[:, 1]  # [S,K]
    expected = straight(q, k, layout, 8**-0.5)
    np.testing.assert_allclose(told(view, 3).scores[layout], expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["halves", "pairs"])
def test_norms_come_before_turning(layout: Any) -> None:
    trace = traced(built("qwen3", **HEAD8))
    q = trace["model.layers.0.self_attn.q_norm"][0, :, 1]  # [T,K]
    k = trace["model.layers.0.self_attn.k_norm"][0, :, 0]  # [S,K]
    expected = straight(q, k, layout, 8**-0.5)
    np.testing.assert_allclose(told(views(trace)[0], 1).scores[layout], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["halves", "pairs"])
def test_what_carries_no_position_is_left_as_it_is(layout: Any) -> None:
    trace = traced(built("glm", **HEAD8, partial_rotary_factor=0.5))
    q = trace["model.layers.0.self_attn.q_proj"][0].reshape(9, 4, 8)[:, 2]  # [T,K]
    k = trace["model.layers.0.self_attn.k_proj"][0].reshape(9, 2, 8)[:, 1]  # [S,K]
    scale = 8**-0.5
    expected = straight(q[:, :4], k[:, :4], layout, scale) + q[:, 4:] @ k[:, 4:].T * scale
    np.testing.assert_allclose(told(views(trace)[0], 2).scores[layout], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["halves", "pairs"])
def test_of_latent_attention_the_rotary_part_is_turned(layout: Any) -> None:
    trace = traced(tiny("deepseek_v3"))
    q = trace["model.layers.0.self_attn.q_b_proj"][0].reshape(9, 4, 12)[:, 1]  # [T,K]
    rope = trace["model.layers.0.self_attn.kv_a_proj_with_mqa"][0][:, 12:]  # [S,rope]
    k = trace["model.layers.0.self_attn:k"][0, 1]  # [S,K]
    scale = trace.attention["model.layers.0.self_attn:q"].scale
    expected = straight(q[:, 8:], rope, layout, scale) + q[:, :8] @ k[:, :8].T * scale
    np.testing.assert_allclose(told(views(trace)[0], 1).scores[layout], expected, rtol=1e-4, atol=1e-4)


REFUSED: dict[str, tuple[Any, str]] = {
    "stablelm": (lambda: built("stablelm", **UNGROUPED, partial_rotary_factor=0.25), "both layouts are the same"),
    "gpt_neox": (lambda: built("gpt_neox", **SHORT, hidden_size=32, intermediate_size=48), "in one projection"),
    "gpt2": (lambda: built("gpt2", vocab_size=61, n_embd=32, n_layer=2, n_head=4), "no rotary embedding"),
    "opt": (lambda: built("opt", **SHORT, hidden_size=32, ffn_dim=48, word_embed_proj_dim=32), "no rotary embedding"),
}  # fmt: skip


@pytest.mark.parametrize("family", REFUSED)
def test_where_it_cant_be_told_it_says_why(family: str) -> None:
    build, reason = REFUSED[family]
    for view in views(traced(build())):
        found = check_rope(view, 0)
        assert isinstance(found, Untold)
        assert reason in found.reason


def test_a_layer_without_positions_is_named() -> None:
    trace = traced(built("smollm3", **SMALL, no_rope_layers=[1, 0]))
    with_positions, without = views(trace)
    assert told(with_positions).layout == "halves"
    found = check_rope(without, 0)
    assert isinstance(found, Untold)
    assert "doesn't turn" in found.reason


def test_one_token_and_a_cache_dont_tell() -> None:
    model = built("llama", **SMALL)
    alone = check_rope(views(traced(model, 1))[0], 0)
    assert isinstance(alone, Untold)
    assert "one token" in alone.reason
    with torch.no_grad():
        cache = model(input_ids=prompt(), use_cache=True).past_key_values
    later = record_call(model, input_ids=prompt()[:, -2:], past_key_values=cache, use_cache=True)
    found = check_rope(views(later)[0], 0)
    assert isinstance(found, Untold)
    assert "cache" in found.reason


def test_when_neither_agrees_none_is_named() -> None:
    trace = traced(built("llama", **SMALL))
    record = trace.find("model.layers.0.self_attn.k_proj")
    assert record is not None
    values = list(trace.values)
    values[record.index] = ArrayValue(np.roll(trace[record.key], 1, axis=2), "float32")
    assert told(views(replace(trace, values=values))[0]).layout is None


def test_the_configuration_is_cited() -> None:
    trace = traced(tiny("deepseek_v3"))
    said = replace(trace, run=replace(trace.run, config={"rope_interleave": True}))
    assert "config: rope_interleave true, so adjacent pairs" in told(views(said)[0]).evidence
    silent = replace(trace, run=replace(trace.run, config={}))
    assert any("config: no field says" in line for line in told(views(silent)[0]).evidence)

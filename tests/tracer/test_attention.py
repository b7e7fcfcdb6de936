"""Attention seen from outside: the same kernels, and scores computed from what they received."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaAttention

from tests.tracer.models import prompt, tiny_gemma2, tiny_gpt_oss, tiny_llama, tiny_llama4, tiny_mistral
from tracetui.analysis.attention.heads import UnexplainedError
from tracetui.analysis.attention.scores import AttentionView, attention_at
from tracetui.models.module_tree import known_model
from tracetui.models.recordable.unshown import attention_configs
from tracetui.recording.trace import Trace
from tracetui.tracer.call import record_call

FAMILIES = [tiny_llama, tiny_mistral, tiny_gemma2, tiny_gpt_oss, tiny_llama4]


def view(trace: Trace, layer: int) -> AttentionView:
    record = trace.find(f"model.layers.{layer}.self_attn")
    assert record is not None
    found = attention_at(trace, record)
    assert found is not None
    return found


def padded() -> dict[str, Any]:
    """Two rows, of which the second begins with three tokens of padding."""
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :3] = 0
    return {"input_ids": prompt(rows=2), "attention_mask": mask}


@pytest.mark.parametrize("build", FAMILIES)
@pytest.mark.parametrize("inputs", [lambda: {"input_ids": prompt()}, padded], ids=["one", "padded"])
def test_the_result_is_that_of_the_stock_kernel_bit_for_bit(
    build: Callable[[], Any], inputs: Callable[[], dict[str, Any]]
) -> None:
    model = build()
    if hasattr(model.config, "num_local_experts"):
        # The same experts' kernel on both sides: what it does is tests/tracer/test_experts.py's.
        model.config._experts_implementation = "tracetui_grouped_mm"
    with torch.no_grad():
        stock = model(**inputs(), use_cache=False).logits
    np.testing.assert_array_equal(record_call(model, **inputs(), use_cache=False)["logits"], stock.numpy())


@pytest.mark.parametrize("build", [tiny_llama, tiny_mistral, tiny_gemma2, tiny_gpt_oss])
def test_probabilities_are_those_of_eager_attention(build: Callable[[], Any]) -> None:
    model = build()
    trace = record_call(model, **padded(), use_cache=False)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        eager = model(**padded(), use_cache=False, output_attentions=True).attentions
    for layer, expected in enumerate(eager):
        found = view(trace, layer)
        for head in range(found.heads):
            # Rows of padding are never used; eager spreads them evenly and sdpa leaves them out.
            np.testing.assert_allclose(found.matrix("probs", head, 0), expected[0, head].numpy(), atol=1e-6)
            np.testing.assert_allclose(found.matrix("probs", head, 1)[3:], expected[1, head, 3:].numpy(), atol=1e-6)


@pytest.mark.parametrize("build", [tiny_llama, tiny_mistral, tiny_gemma2, tiny_gpt_oss])
def test_probabilities_times_values_are_each_heads_output(build: Callable[[], Any]) -> None:
    trace = record_call(build(), input_ids=prompt(), use_cache=False)
    for layer in range(2):
        found = view(trace, layer)
        values, heads = trace[f"{found.site}:v"], trace[f"{found.site}:heads"]  # [B,G,S,Kv] [B,H,T,Kv]
        for head in range(found.heads):
            output = found.matrix("probs", head) @ values[0, found.kv_head(head)]  # [T,Kv]
            np.testing.assert_allclose(output, heads[0, head], rtol=1e-5, atol=1e-6)


def test_the_heads_side_by_side_go_into_o_proj() -> None:
    model = tiny_llama()
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    heads = torch.from_numpy(trace["model.layers.0.self_attn:heads"])  # [B,H,T,Kv]
    side_by_side = heads.transpose(1, 2).flatten(2)  # [B,T,H·Kv]
    with torch.no_grad():
        out = model.model.layers[0].self_attn.o_proj(side_by_side)
    np.testing.assert_array_equal(trace["model.layers.0.self_attn.o_proj"], out.numpy())


def test_scores_are_scaled_products_and_masking_hides_the_future() -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    found = view(trace, 0)
    q, k = trace[f"{found.site}:q"][0, 3], trace[f"{found.site}:k"][0, found.kv_head(3)]  # [T,K] [S,K]
    np.testing.assert_allclose(found.matrix("scores", 3), q @ k.T / np.sqrt(8), rtol=1e-5, atol=1e-6)
    hidden = np.isneginf(found.matrix("masked", 3))
    np.testing.assert_array_equal(hidden, np.triu(np.ones((9, 9), dtype=bool), 1))


def test_query_heads_share_key_value_heads_in_order() -> None:
    found = view(record_call(tiny_llama(), input_ids=prompt(), use_cache=False), 0)
    assert [found.kv_head(head) for head in range(found.heads)] == [0, 0, 1, 1]


def test_any_record_within_attention_leads_to_its_call_and_none_outside() -> None:
    trace = record_call(tiny_llama(), input_ids=prompt(), use_cache=False)
    for record in trace.records:
        inside = ".self_attn" in record.site
        assert (attention_at(trace, record) is not None) == inside, record.site


def test_a_mask_is_recorded_as_passed_and_once_for_all_layers() -> None:
    trace = record_call(tiny_llama(), **padded(), use_cache=False)
    first, second = (trace.find(f"model.layers.{layer}.self_attn:mask") for layer in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.dtype, first.shape) == ("bool", (2, 1, 9, 9))
    assert trace.value(first) is trace.value(second)


def test_a_softcap_goes_to_the_kernel_that_knows_it_and_hides_the_future_still() -> None:
    model = tiny_gemma2()
    with torch.no_grad():
        eager = model(input_ids=prompt(), use_cache=False).logits
    model.config._attn_implementation = "sdpa"
    trace = record_call(model, input_ids=prompt(), use_cache=False)
    found = view(trace, 0)
    assert (found.call.kernel, found.call.softcap) == ("eager", 2.0)
    assert np.abs(found.matrix("scores", 0)).max() <= 2.0
    np.testing.assert_array_equal(trace["logits"], eager.numpy())


def test_a_sink_takes_its_share() -> None:
    trace = record_call(tiny_gpt_oss(), input_ids=prompt(), use_cache=False)
    sums = view(trace, 0).matrix("probs", 1).sum(axis=1)
    assert (sums < 0.999).all()
    assert trace["model.layers.0.self_attn:sinks"].shape == (4,)


def test_attention_of_its_own_outside_of_a_model_is_watched_as_eager() -> None:
    model = tiny_llama()
    config = copy.deepcopy(model.config)
    config._attn_implementation = None
    attention = type(model.model.layers[0].self_attn)(config, 0).eval()
    hidden = torch.randn(1, 5, config.hidden_size)  # [B,T,D]
    turned = model.model.rotary_emb(hidden, torch.arange(5)[None])
    inputs = {"hidden_states": hidden, "position_embeddings": turned, "attention_mask": None}
    with torch.no_grad():
        plain, _ = attention(**inputs)
    trace = record_call(attention, **inputs)
    assert {":q", ":k", ":v", ":heads"} <= {record.site for record in trace.records}
    np.testing.assert_array_equal(trace["output"], plain.numpy())
    assert config._attn_implementation is None
    assert not trace.run.notes


def test_a_kernel_that_can_t_be_watched_is_named_in_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AttentionInterface._global_mapping, "flash_of_theirs", sdpa_attention_forward)
    model = tiny_llama()
    assert not record_call(model, input_ids=prompt()).run.notes
    model.config._attn_implementation = "flash_of_theirs"
    trace = record_call(model, input_ids=prompt())
    assert not any(record.role == "q" for record in trace.records)
    (note,) = trace.run.notes
    assert note.startswith(
        "attention is computed by flash_of_theirs, whose queries, keys and probabilities can't be shown"
    )


def _like_sdpa(*arguments: Any, **options: Any) -> Any:
    return sdpa_attention_forward(*arguments, **options)


def _sharper(module: Any, query: torch.Tensor, *arguments: Any, **options: Any) -> Any:
    return sdpa_attention_forward(module, query * 2, *arguments, **options)


@pytest.mark.parametrize("place", ["a name of its own", "sdpa for all", "sdpa in one file"])
@pytest.mark.parametrize("function", [_like_sdpa, _sharper])
def test_a_function_that_somebody_put_into_the_interface_runs_and_is_watched(
    function: Callable[..., Any], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, name = tiny_llama(), "theirs" if place == "a name of its own" else "sdpa"
    local = place == "sdpa in one file"
    mapping = ALL_ATTENTION_FUNCTIONS._local_mapping if local else AttentionInterface._global_mapping
    monkeypatch.setitem(mapping, name, function)
    model.config._attn_implementation = name
    with torch.no_grad():
        plain = model(input_ids=prompt()).logits
    trace = record_call(model, input_ids=prompt())
    np.testing.assert_array_equal(trace["logits"], plain.numpy())
    assert model.config._attn_implementation == name
    if function is _like_sdpa:
        torch.testing.assert_close(view(trace, 1).matrix("probs", 0).sum(axis=1), np.ones(9, np.float32))
        assert not trace.run.notes
    else:
        with pytest.raises(UnexplainedError):
            view(trace, 1).matrix("probs", 0)
        assert "its attention can't be shown" in trace.run.notes[0]


class _OfTheirs(LlamaAttention):  # type: ignore[misc]
    """In another file than transformers' own."""


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_a_class_made_from_a_model_s_own_is_watched_once(kernel: str) -> None:
    model = tiny_llama()
    model.config._attn_implementation = kernel
    for layer in model.model.layers:
        layer.self_attn.__class__ = _OfTheirs
    with torch.no_grad():
        plain = model(input_ids=prompt()).logits
    trace = record_call(model, input_ids=prompt())
    np.testing.assert_array_equal(trace["logits"], plain.numpy())
    assert [record.layer for record in trace.records if record.role == "q"] == list(range(len(model.model.layers)))
    assert view(trace, 1).matrix("probs", 0).shape == (9, 9)
    assert not trace.run.notes


def test_a_wrapper_without_a_kernel_s_name_leaves_its_model_s_alone() -> None:
    wrapper: Any = torch.nn.Module()
    wrapper.inner = tiny_llama()
    wrapper.config = copy.deepcopy(wrapper.inner.config)
    wrapper.config._attn_implementation = None
    assert [config._attn_implementation for config in attention_configs(known_model(wrapper))] == ["sdpa"]

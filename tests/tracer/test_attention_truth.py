"""What is shown of attention is what its kernel computed, whatever it was given; else nothing, and the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import StaticCache
from transformers.models.granite_swa.configuration_granite_swa import GraniteSWAConfig
from transformers.models.granite_swa.modeling_granite_swa import GraniteSWAForCausalLM
from transformers.models.inkling2 import configuration_inkling2, modeling_inkling2

import tracetui
from tests.tracer.models import SIZES, prompt, seeded, tiny_gemma2, tiny_gpt_oss, tiny_llama
from tracetui.analysis.attention.heads import UnexplainedError

QUIET = "*:scores: scale 1"
"""An edit that has attention computed step by step, and changes nothing."""


def tiny_granite_swa() -> GraniteSWAForCausalLM:
    model = seeded(GraniteSWAForCausalLM, GraniteSWAConfig(**SIZES, sliding_window=4))
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.self_attn.sinks)
    return model


def tiny_inkling2() -> Any:
    config = configuration_inkling2.Inkling2TextConfig(
        **SIZES,
        head_dim=8,
        swa_num_attention_heads=4,
        swa_num_key_value_heads=2,
        layer_types=["hybrid_sliding", "hybrid"],
        sliding_window=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
    )
    return seeded(modeling_inkling2.Inkling2ForCausalLM, config)


def eager_probabilities(model: Any, **inputs: Any) -> list[np.ndarray[Any, Any]]:
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = model(**inputs, output_attentions=True).attentions
    model.set_attn_implementation(own)
    return [each.numpy() for each in attentions]


def shown(trace: tracetui.Trace, layer: int) -> np.ndarray[Any, Any]:
    attention = trace.attention(layer)
    rows = range(len(attention.q))
    return np.stack([[attention.probs(head, row) for head in range(attention.head_count)] for row in rows])


def static(model: Any) -> dict[str, Any]:
    return {"input_ids": prompt(), "past_key_values": StaticCache(config=model.config, max_cache_len=14)}


def whole_rows_hidden(model: Any) -> dict[str, Any]:
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :3] = 0
    return {"input_ids": prompt(rows=2), "attention_mask": mask, "use_cache": False}


def numbers_in_four_axes(model: Any) -> dict[str, Any]:
    mask = torch.full((1, 1, 9, 9), torch.finfo(torch.float32).min).triu(1)
    mask[0, 0, 7, :3] = -1.5
    return {"input_ids": prompt(), "attention_mask": mask, "use_cache": False}


@pytest.mark.parametrize("build", [tiny_llama, tiny_gemma2, tiny_gpt_oss])
def test_prefill_into_a_static_cache_sees_no_empty_place(build: Callable[[], Any]) -> None:
    model = build()
    expected = eager_probabilities(model, **static(model))
    trace = tracetui.trace(model, **static(model))
    for layer, probabilities in enumerate(expected):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=1e-6)


def test_an_edit_that_changes_nothing_changes_nothing_with_a_static_cache() -> None:
    model = tiny_llama()
    plain = tracetui.trace(model, **static(model))["logits"]
    np.testing.assert_allclose(tracetui.trace(model, **static(model), edits=[QUIET])["logits"], plain, atol=1e-5)


@pytest.mark.parametrize("edits", [[], [QUIET]], ids=["computed", "step by step"])
def test_padding_is_what_eager_attention_makes_of_it(edits: list[str]) -> None:
    model = tiny_gemma2()
    expected = eager_probabilities(model, **whole_rows_hidden(model))
    trace = tracetui.trace(model, **whole_rows_hidden(model), edits=edits)
    np.testing.assert_allclose(expected[0][1, :, 0], 1 / 9, atol=1e-6)
    for layer, probabilities in enumerate(expected):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=1e-6)


@pytest.mark.parametrize("edits", [[], [QUIET]], ids=["computed", "step by step"])
def test_padding_is_what_sdpa_makes_of_it(edits: list[str]) -> None:
    model = tiny_llama()
    trace = tracetui.trace(model, **whole_rows_hidden(model), edits=edits)
    assert not shown(trace, 1)[1, :, :3].any()
    assert not trace["model.layers.1.self_attn:heads"][1, :, :3].any()


@pytest.mark.parametrize("build", [tiny_llama, tiny_gemma2])
def test_a_mask_of_numbers_is_added(build: Callable[[], Any]) -> None:
    model = build()
    expected = eager_probabilities(model, **numbers_in_four_axes(model))
    trace = tracetui.trace(model, **numbers_in_four_axes(model))
    for layer, probabilities in enumerate(expected):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=1e-6)


def test_a_mask_of_booleans_hides_nothing_in_eager_attention() -> None:
    """It is added, as 1 and 0."""
    model = tiny_gemma2()
    allowed = torch.ones(1, 1, 9, 9).tril().bool()
    inputs: dict[str, Any] = {"input_ids": prompt(), "attention_mask": allowed, "use_cache": False}
    expected = eager_probabilities(model, **inputs)
    assert expected[0][0, 0, 0, 1:].all()
    trace = tracetui.trace(model, **inputs)
    for layer, probabilities in enumerate(expected):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=1e-6)


@pytest.mark.parametrize("edits", [[], [QUIET]], ids=["computed", "step by step"])
def test_a_position_bias_and_sinks_of_each_token_take_part(edits: list[str]) -> None:
    model = tiny_inkling2()
    expected = eager_probabilities(model, input_ids=prompt(), use_cache=False)
    trace = tracetui.trace(model, input_ids=prompt(), use_cache=False, edits=edits)
    for layer, probabilities in enumerate(expected):
        np.testing.assert_allclose(shown(trace, layer), probabilities, atol=1e-6)
        call = trace.attention(layer).call
        assert call.sinks
        assert call.position_bias
    assert trace["model.layers.0.self_attn:sinks"].shape == (1, 4, 9, 1)


@pytest.mark.parametrize("edits", [[], [QUIET]], ids=["computed", "step by step"])
def test_probabilities_multiply_the_values_also_where_sinks_act_after_the_softmax(edits: list[str]) -> None:
    trace = tracetui.trace(tiny_granite_swa(), input_ids=prompt(), edits=edits)
    for layer in range(2):
        attention, probabilities = trace.attention(layer), shown(trace, layer)
        assert attention.v is not None
        assert probabilities.sum(-1).max() < 1
        values = attention.v.repeat(2, axis=1)  # [B,H,S,Kv]
        assert attention.heads is not None
        np.testing.assert_allclose(probabilities @ values, attention.heads, atol=1e-5)


def test_an_edit_of_probabilities_counts_where_sinks_act_after_the_softmax() -> None:
    trace = tracetui.trace(tiny_granite_swa(), input_ids=prompt(), edits=["layers.1.self_attn:probs: scale 0.5"])
    attention = trace.attention(1)
    assert attention.v is not None
    assert attention.heads is not None
    np.testing.assert_allclose(shown(trace, 1) @ attention.v.repeat(2, axis=1), attention.heads, atol=1e-5)


@pytest.fixture
def scores_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model whose attention function does something that it isn't told to."""
    import transformers.models.llama.modeling_llama as code

    own = code.eager_attention_forward

    def sharper(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **more: Any
    ) -> Any:
        return own(module, query * 1.5, key, value, mask, **more)

    monkeypatch.setattr(code, "eager_attention_forward", sharper)
    model = tiny_llama()
    model.set_attn_implementation("eager")
    return model


def test_scores_that_don_t_explain_the_output_are_not_shown(scores_of_its_own: Any) -> None:
    trace = tracetui.trace(scores_of_its_own, input_ids=prompt(), attention="probs")
    assert any(
        "LlamaAttention: its attention can't be shown: softmax(scores)·V" in note for note in trace.recorded.run.notes
    )
    assert "model.layers.0.self_attn:probs" not in trace
    attention = trace.attention(0)
    for ask in (attention.scores, attention.masked, attention.probs):
        with pytest.raises(UnexplainedError, match="self_attn: its attention can't be shown"):
            ask(1)
    assert "softmax(scores)·V" in attention.unexplained


def test_an_argument_that_nobody_knows_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers.models.llama.modeling_llama as code

    own = code.eager_attention_forward

    def asks(module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **more: Any) -> Any:
        return own(module, query, key, value, mask, **{name: each for name, each in more.items() if name != "slopes"})

    def with_slopes(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: Any,
        slopes: Any = None,
        **more: Any,
    ) -> Any:
        return asks(module, query, key, value, mask, **more)

    monkeypatch.setattr(code, "eager_attention_forward", with_slopes)
    model = tiny_llama()
    model.set_attn_implementation("eager")
    trace = tracetui.trace(model, input_ids=prompt(), slopes=torch.ones(4))
    assert trace.attention(0).unexplained == "it is given slopes, which tracetui doesn't know"
    assert not tracetui.trace(model, input_ids=prompt()).attention(0).unexplained


def test_what_explains_a_call_stands_in_its_file(tmp_path: Any) -> None:
    trace = tracetui.trace(tiny_inkling2(), input_ids=prompt(), use_cache=False)
    trace.save(tmp_path / "t.npz")
    again = tracetui.open_trace(tmp_path / "t.npz")
    assert again.attention(0).call == trace.attention(0).call
    np.testing.assert_array_equal(shown(again, 1), shown(trace, 1))

"""What a plan says that a pass records, against the memory that the records of a pass hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import DeepseekV3Config, DeepseekV3ForCausalLM, MixtralConfig, MixtralForCausalLM

import tracetui
from tests.families.models import Family, make_family
from tracetui.models.memory.attention import returned_scores
from tracetui.models.memory.kernels import kernel_bytes
from tracetui.models.memory.recorded import widths

_TOKENS = 64


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("llama", id="grouped queries"),
        pytest.param("gpt_neox", id="fused"),
        pytest.param("olmo2", id="norms over all heads"),
        pytest.param("qwen3", id="norms of a head"),
        pytest.param("gemma2", id="a kernel that returns probabilities"),
        pytest.param("jetmoe", id="matrices of all experts that are given sorted rows"),
        pytest.param("xglm", id="a table of positions in a buffer"),
        pytest.param("gemma3", id="beside a model of images"),
        pytest.param("llama4_text", id="experts that are given every token"),
    ],
)
def test_what_is_planned_is_what_records_hold(name: str, tmp_path: Path) -> None:
    family: Family = make_family(name, tmp_path)
    assert 0.85 < _planned(family.model) / _held(family.model) < 1.15


def test_latent_attention_is_planned_as_wide_as_its_heads_and_its_norms_as_its_latents() -> None:
    config = DeepseekV3Config(
        vocab_size=256, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=16,
        num_key_value_heads=16, q_lora_rank=48, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16,
        v_head_dim=32, first_k_dense_replace=2,
    )  # fmt: skip
    model = DeepseekV3ForCausalLM(config).eval()
    assert 0.85 < _planned(model) / _held(model) < 1.15


def _planned(model: nn.Module) -> int:
    """Bytes."""
    return 4 * _TOKENS * (widths(model).recorded + _TOKENS + returned_scores(model, _TOKENS))


def _held(model: Any) -> int:
    """Bytes of memory that the records of a pass hold; what several are parts of counts once."""
    ids = torch.arange(_TOKENS)[None]
    trace = tracetui.trace(model, input_ids=ids).recorded
    captured = [getattr(trace.values[record.index], "captured") for record in trace.records]  # noqa: B009
    address: Any = torch._C._data_address  # type: ignore[attr-defined]
    return sum({address(each): each.untyped_storage().nbytes() for each in captured}.values())


def test_experts_that_are_given_other_numbers_of_tokens_are_planned_a_kernel_for_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = MixtralForCausalLM(MixtralConfig(vocab_size=64, num_local_experts=8, **config, num_key_value_heads=2))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    few, many = (kernel_bytes(model, 2, tokens) for tokens in (2, 512))
    assert 0 < few < many <= 512 * 2 * 2**20
    assert kernel_bytes(model, 4, 512) == 0
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert kernel_bytes(model, 2, 512) == 0
    # A build without oneDNN has none of its operators.
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.delattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported")
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert kernel_bytes(model, 2, 512) == 0

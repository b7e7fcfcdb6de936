"""What some converters put together or apart otherwise is the same model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.gguf.test_families import CASES, IDS
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

Tensors = dict[str, torch.Tensor]


def fused_queries(tensors: Tensors) -> None:
    for layer in range(3):
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"blk.{layer}.attn_{part}.{kind}", None) for part in "qkv"]
            there = [part for part in parts if part is not None]
            if there:
                tensors[f"blk.{layer}.attn_qkv.{kind}"] = torch.cat(there)


def fused_experts(tensors: Tensors) -> None:
    for layer in range(3):
        gate, up = (tensors.pop(f"blk.{layer}.ffn_{part}_exps.weight") for part in ("gate", "up"))
        tensors[f"blk.{layer}.ffn_gate_up_exps.weight"] = torch.cat((gate, up), dim=1)


def whole_latent(tensors: Tensors) -> None:
    """As converters wrote it before llama.cpp computed on the latent."""
    for layer in range(3):
        keys, values = tensors.pop(f"blk.{layer}.attn_k_b.weight").mT, tensors.pop(f"blk.{layer}.attn_v_b.weight")
        tensors[f"blk.{layer}.attn_kv_b.weight"] = torch.cat((keys, values), dim=1).flatten(0, 1)


def scaled(tensors: Tensors) -> None:
    """As NVFP4 has it: a number for a matrix, or for each expert."""
    for name, tensor in list(tensors.items()):
        if ".ffn_" in name and name.endswith(".weight") and tensor.dim() > 1:
            count = tensor.shape[0] if tensor.dim() == 3 else 1
            scales = 2.0 ** torch.arange(1, count + 1)
            tensors[name] = tensor / scales.view(-1, *(1 for _ in tensor.shape[1:]))
            tensors[name.replace(".weight", ".scale")] = scales
            tensors[name.replace(".weight", ".input_scale")] = torch.ones(count)


@pytest.mark.parametrize(
    ("case", "rewrite"),
    [
        ("llama", fused_queries),
        ("qwen2", fused_queries),
        ("mixtral", fused_experts),
        ("deepseek_v3", whole_latent),
        ("llama", scaled),
        ("mixtral", scaled),
    ],
)
def test_it_is_the_model_that_was_converted(tmp_path: Path, case: str, rewrite: Callable[[Tensors], None]) -> None:
    family, fields = CASES[case]
    model: Any = exact_model(family, **fields)
    path = write_gguf(model, tmp_path / "model.gguf", rewrite=rewrite)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([IDS]), use_cache=False).logits.numpy()
    trace = trace_recipe(with_options(load_recipe(str(path)), dtype="float32"), ids=IDS)
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))
    assert [note for note in trace.run.notes if "read over" in note or "random" in note] == []

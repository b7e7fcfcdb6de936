"""Families whose modules read weights of each other: a folder that streams is what transformers loads from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tracer.models import SIZES
from tracetui.recipe import Prompts, load_recipe
from tracetui.tracer.run import trace_recipe

READERS: dict[str, dict[str, Any]] = {
    # Attention calls methods of its experts that aren't their forward, and these read a bias of their own.
    "jetmoe": {"kv_channels": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    # A layer reads the weights of its altup's coefficients.
    "gemma3n_text": {
        "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0,
        "laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 2, "intermediate_size": [48] * 2,
        "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 61, "sliding_window": 4,
    },
}  # fmt: skip
IDS = (5, 8, 29, 3, 9, 8, 41, 2)


@pytest.mark.parametrize("family", READERS)
def test_weights_read_outside_of_their_modules_are_there(family: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model(family, **{**SIZES, **READERS[family]})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([IDS]), use_cache=False).logits.numpy()
    of = replace(load_recipe(str(tmp_path)), dtype="float32", memory=0, prompts=Prompts(ids=(IDS,)))
    np.testing.assert_allclose(trace_recipe(of)["logits"], expected, rtol=0, atol=1e-5 * np.abs(expected).max())

"""Against transformers' own loading of GGUF files, of the architectures that it has; run by `make gguf`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from transformers import AutoModelForCausalLM

from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.gguf.test_families import IDS
from tests.models.hf_files import LLAMA
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

pytest.importorskip("accelerate", reason="transformers' own GGUF loading wants it: make gguf")
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
_LOADED: Mapping[str, Mapping[str, Any]] = {
    "llama": {},
    "mistral": {**LLAMA, "sliding_window": None},
    "qwen2": {},
    "qwen2_moe": {**LLAMA, **_EXPERTS, "moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632},
    "qwen3": {**LLAMA, "head_dim": 128},
    "qwen3_moe": {**LLAMA, **_EXPERTS, "head_dim": 24, "moe_intermediate_size": 768, "norm_topk_prob": True},
    "gemma2": {"head_dim": 256},
    "gemma3_text": {**LLAMA, "head_dim": 256, "sliding_window": 5, "num_hidden_layers": 7},
    "phi3": {
        "sliding_window": None,
        "vocab_size": 32064,
        "pad_token_id": 32000,
        "original_max_position_embeddings": 128,
    },
}
"""What it doesn't read of a file has to be what its classes have by themselves."""


@pytest.mark.parametrize("kind", [Kind.F32, Kind.Q8_0])
@pytest.mark.parametrize("family", _LOADED)
def test_logits_are_those_of_the_model_that_transformers_loads(tmp_path: Path, family: str, kind: Kind) -> None:
    write_gguf(exact_model(family, **_LOADED[family]), tmp_path / "model.gguf", kind)
    loaded: Any = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf", dtype=torch.float32)
    for parameter in loaded.parameters():
        parameter.data = parameter.data.clone()
    with torch.no_grad():
        expected = loaded.eval()(input_ids=torch.tensor([IDS]), use_cache=False).logits.numpy()
    trace = trace_recipe(with_options(load_recipe(str(tmp_path / "model.gguf")), dtype="float32"), ids=IDS)
    np.testing.assert_allclose(trace["logits"], expected, rtol=0, atol=1e-5 * float(np.abs(expected).max()))

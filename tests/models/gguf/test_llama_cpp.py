"""Against llama.cpp itself: the same file, the same logits; run by `make gguf LLAMA_CPP=1`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.llama_cpp import logits_of
from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.gguf.test_families import CASES, IDS
from tracetui.formats.gguf.files import read_files
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

pytest.importorskip("llama_cpp", reason="llama.cpp isn't there: make gguf LLAMA_CPP=1")
_NOT_LOADED = ("deepseek_v2 lite",)
"""llama.cpp takes a model without a rank of queries for the published one of 27 layers alone."""
_GELU = 2e-3
"""llama.cpp looks GELU up in a table of half-precision numbers."""
_WITH_GELU = ("gemma", "phi2", "starcoder2", "gpt2")
_ROUNDED = 1e-5
"""Recurrent layers are computed in chunks in transformers, one token after another or in other chunks there."""
_LONG = {"num_hidden_layers": 64}
_OTHERWISE: Mapping[str, Mapping[str, Any]] = {
    "deepseek_v2": {"n_group": 1, "topk_group": 1, "topk_method": "greedy"},  # it ranks groups as V3 does
    "gpt-oss": {"rope_parameters": {**CASES["gpt-oss"][1]["rope_parameters"], "truncate": True}},
    "exaone4": _LONG,  # only of so many layers it takes a window for one
    "command-r, norms of heads": _LONG,  # and norms
    # Its first 20 layers have keys of their own, and of the first 10 few elements are above 0, whatever the file says.
    "gemma3n": {
        "num_hidden_layers": 21,
        "num_kv_shared_layers": 1,
        "activation_sparsity_pattern": [0.95] * 10 + [0.0] * 11,
    },
    "gemma4, of experts": {"top_k_experts": 6},  # its GELU may choose another expert
}
"""What has to be otherwise for llama.cpp to compute what the model does."""


@pytest.fixture(autouse=True)
def as_llama_cpp_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gemma 3n's deviation over n - 1 elements, in llama.cpp alone; nobody else asks torch for one in a forward."""
    monkeypatch.setattr(torch, "std", partial(_over_one_less, torch.std))


def _over_one_less(std: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> torch.Tensor:
    return std(*args, **{**kwargs, "unbiased": True} if "unbiased" in kwargs else kwargs)


@pytest.mark.parametrize("case", [case for case in CASES if case not in _NOT_LOADED])
def test_logits_are_those_of_llama_cpp(tmp_path: Path, case: str) -> None:
    family, fields = CASES[case]
    path = write_gguf(exact_model(family, **{**fields, **_OTHERWISE.get(case, {})}), tmp_path / "model.gguf")
    recipe = with_options(load_recipe(str(path)), dtype="float32")
    if case == "gpt-oss":
        rope = recipe.config["rope_parameters"]
        assert isinstance(rope, dict)
        rope["truncate"] = True
    logits, expected = trace_recipe(recipe, ids=IDS)["logits"][0], logits_of(path, IDS)  # [T,V] each
    largest = float(np.abs(expected).max())
    within = (
        4 * _GELU
        if case == "gemma3n"
        else _GELU
        if case.startswith(_WITH_GELU)
        else _ROUNDED
        if _is_long(path)
        else 2e-6
    )
    np.testing.assert_allclose(logits, expected, rtol=0, atol=within * largest)


def _is_long(path: Path) -> bool:
    names = read_files(path).tensors
    return any("ssm_conv1d" in name for name in names) or "blk.63.attn_q.weight" in names

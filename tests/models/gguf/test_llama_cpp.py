"""Against llama.cpp itself: the same file, the same logits; run by `make gguf LLAMA_CPP=1`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.llama_cpp import logits_of
from tests.models.gguf.convert import exact_model, write_gguf
from tests.models.gguf.test_families import CASES, IDS
from tracetui.recipe import load_recipe
from tracetui.recipe.options import with_options
from tracetui.tracer.run import trace_recipe

pytest.importorskip("llama_cpp", reason="llama.cpp isn't there: make gguf LLAMA_CPP=1")
_NOT_LOADED = ("deepseek_v2 lite",)
"""llama.cpp takes a model without a rank of queries for the published one of 27 layers alone."""
_GELU = 2e-3
"""llama.cpp looks GELU up in a table of half-precision numbers."""
_OTHERWISE: Mapping[str, Mapping[str, Any]] = {
    "deepseek_v2": {"n_group": 1, "topk_group": 1, "topk_method": "greedy"},  # it ranks groups as V3 does
    "gpt-oss": {"rope_parameters": {**CASES["gpt-oss"][1]["rope_parameters"], "truncate": True}},
}
"""What has to be otherwise for llama.cpp to compute what the model does."""


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
    np.testing.assert_allclose(logits, expected, rtol=0, atol=(_GELU if "gemma" in case else 2e-6) * largest)

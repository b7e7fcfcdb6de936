"""The hooks in docs/diff.md make a file of any model that `tracetui diff` compares with a trace."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import tracetui
from tests.analysis.diff import plants

DOCUMENT = Path(__file__).parents[2] / "docs" / "diff.md"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_documented_hooks_hand_over_a_model(
    dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    model, ids = plants.llama().to(dtype), torch.tensor([[1, 5, 9, 12]])
    reference = tracetui.trace(model, input_ids=ids)
    exec(snippet, {"model": model, "ids": ids})
    found = tracetui.diff("mine.npz", reference)
    assert found.same, str(found)
    sites = {site.site for site in found.sites}
    assert {"model.embed_tokens", "model.layers.1.self_attn", "model.layers.1.mlp.down_proj", "lm_head"} <= sites

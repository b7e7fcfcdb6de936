"""The digest of a weight by compiled code: torch's, whatever the length and wherever the bytes begin."""

from __future__ import annotations

import pytest
import torch

from tracetui.models.weights import weight_prints
from tracetui.models.weights.weight_prints import digest


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 8 * 2**16 - 1, 8 * 2**16, 8 * 2**16 + 8, 3_000_001])
@pytest.mark.parametrize("first", [0, 3, 8])
def test_it_is_that_of_torch(size: int, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(size)
    content = torch.randint(0, 256, (first + size,), dtype=torch.uint8, generator=generator)[first:]
    compiled = digest(content)
    monkeypatch.setattr(weight_prints, "_add_digest", lambda: None)
    assert digest(content) == compiled
    if size > 8:
        assert digest(content.flip(0)) != compiled, "the order counts"

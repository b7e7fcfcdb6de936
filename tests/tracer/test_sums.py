"""Whether a tensor is a sum of others, told on a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tracetui.tracer.residual import sum as sums
from tracetui.tracer.residual.sum import is_plain_sum, is_sum, plain_sums


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("tokens", [1, 5])
def test_what_is_told_at_a_glance_to_be_no_sum_is_none(
    dtype: torch.dtype, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = np.random.default_rng(tokens)
    cases: list[Any] = []
    for _ in range(40):
        stream, normed, *others = (torch.from_numpy(drawn.normal(size=(1, tokens, 24))).to(dtype) for _ in range(4))
        weights = drawn.choice([0, 1, 1e-3, 300.0, -0.5], 3)
        made = stream * weights[0] + normed * weights[1] + others[-1] * weights[2]
        other = drawn.choice([0, 1e-7, 1e-5, 1e-2])
        cases.append((made + other * torch.randn_like(made), stream, (), normed, others))
    cases += [(stream, stream, (), None, [torch.zeros_like(stream)]) for _, stream, *_ in cases[:2]]
    quick = [is_sum(*case) for case in cases]
    monkeypatch.setattr(sums, "_is_far_from_all", lambda *about: False)
    assert quick == [is_sum(*case) for case in cases]
    assert True in quick


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("tokens", [1, 20])
@pytest.mark.parametrize("compiled", [True, False])
def test_sums_that_are_asked_about_together_are_answered_as_one_by_one(
    dtype: torch.dtype, tokens: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(sums, "taker", lambda: None)
    torch.manual_seed(tokens)
    cases: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for scale in (1.0, 0.0, 1e-30, torch.nan, torch.inf):
        stream, added = torch.randn(2, 1, tokens, 300).to(dtype)
        part = added * scale
        made = (stream + part, stream * 1e-9 + added, stream + added + 0.01)
        cases += [*((total, stream, part) for total in made), (stream * 0 + added, stream * 0, added)]
    singly = [is_plain_sum(*case) for case in cases]
    assert True in singly
    assert plain_sums(*zip(*cases, strict=True)) == singly
    few = sums._few_of_each([total for total, *_ in cases])
    torch.testing.assert_close(
        few, torch.stack([sums._few(total) for total, *_ in cases]), rtol=0, atol=0, equal_nan=True
    )

"""Whether a tensor is a sum of others, told on a sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tracetui.tracer.residual import plain_sum
from tracetui.tracer.residual import sum as sums
from tracetui.tracer.residual.plain_sum import is_plain_sum, plain_sums
from tracetui.tracer.residual.sum import is_sum


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
    for far in ("_is_far_from_all", "_is_far_at_a_glance"):
        monkeypatch.setattr(sums, far, lambda *about: False)
    assert quick == [is_sum(*case) for case in cases]
    assert True in quick


DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [1, 20])
@pytest.mark.parametrize("compiled", [True, False])
def test_sums_that_are_asked_about_together_are_answered_as_one_by_one(
    dtype: torch.dtype, tokens: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(plain_sum, "look_at_sums", lambda *about: None)
    torch.manual_seed(tokens)
    cases: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    for scale in (1.0, 0.0, 1e-30, torch.nan, torch.inf):
        stream, added = torch.randn(2, 1, tokens, 300).to(dtype)
        part = added * scale
        made = (stream + part, stream * 1e-9 + added, stream + added + 0.01)
        cases += [*((total, stream, part) for total in made), (stream * 0 + added, stream * 0, added)]
    singly = [is_plain_sum(*case) for case in cases]
    assert singly == [True, *[False] * 19]
    assert plain_sums(*zip(*cases, strict=True)) == singly


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_torch_rounds_is_rounded_alike(dtype: torch.dtype) -> None:
    """Ties, zeros, what is too small for normal numbers: each is a sum to the last bit, and no other number is."""
    random = torch.Generator().manual_seed(0)
    bits = torch.randint(-(2**15), 2**15, (2, 4, 64), generator=random, dtype=torch.int16)
    halves = bits.view(dtype) if dtype.itemsize == 2 else torch.randn(2, 4, 64, generator=random, dtype=dtype)
    stream, last = halves.nan_to_num(1, 1, 1)
    last[0] = stream[0] * 2**-8
    last[1, :32] = -stream[1, :32]
    total = stream + last
    finite = total.isfinite()
    stream, last, total = (torch.where(finite, each, 1).to(dtype) for each in (stream, last, total.nan_to_num(1, 1, 1)))
    total[~finite] = 2
    assert is_plain_sum(total, stream, last)
    for row in range(4):
        other = total.clone()
        other[row, 37] = torch.nextafter(other[row, 37], other.new_tensor(3))
        assert not is_plain_sum(other, stream, last)


@pytest.mark.parametrize("tokens", [1, 2, 9])
def test_what_is_added_to_a_single_channel_of_all_tokens_is_told(tokens: int) -> None:
    stream, last = torch.randn(2, 1, tokens, 512, generator=torch.Generator().manual_seed(0))
    assert is_plain_sum(stream + last, stream, last)
    for channel in (0, 100, 255, 319, 511):
        biased = stream + last
        biased[..., channel] += 0.5
        assert not is_plain_sum(biased, stream, last)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7,), (2, 3, 24), (1, 9, 8), (1, 40, 500), (3, 4096), (1, 1, 5000)])
def test_runs_lie_within_rows_and_reach_the_last(shape: tuple[int, ...]) -> None:
    runs, width = plain_sum.runs_of(torch.Size(shape)), shape[-1]
    rows = [divmod(start, width) for start in runs.starts]
    assert all(column + runs.length <= width for _, column in rows)
    assert {0, torch.Size(shape).numel() // width - 1} <= {row for row, _ in rows}
    channels = {column + i for _, column in rows for i in range(runs.length)}
    assert len(channels) >= min(width, 512)


def test_a_look_at_few_values_tells_no_true_sum_to_be_none() -> None:
    """Of terms that are alike, as the norm of a single token is to the stream, and where one says nothing."""
    random = torch.Generator().manual_seed(1)
    for tokens in (1, 6):
        stream, last = torch.randn(2, 1, tokens, 64, generator=random)
        normed = stream * 1.7
        for terms in ((stream, last), (stream, normed, last), (stream, last * 0, last), (stream, last, last)):
            for total in (stream + last, 300 * stream - last, normed + last, last - 1e-3 * stream):
                assert not sums._is_far_at_a_glance([total, *terms], 2**-23)
            assert sums._is_far_at_a_glance([stream * last, *terms], 2**-23)
            assert not sums._is_far_at_a_glance([total * torch.nan, *terms], 2**-23)

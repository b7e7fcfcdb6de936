"""Compiled code on several threads says what it says on one: on those of torch's OpenMP, and on Python's own."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pytest
import torch

from tracetui.native import library, threads
from tracetui.native.statistics import KINDS, Rows, first_not_finite, sums_of

pytestmark = pytest.mark.skipif(library.library() is None, reason="this installation has no compiled code")


@pytest.fixture(params=["torch's", "Python's"])
def several(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three threads do what one did."""
    if request.param == "Python's":
        monkeypatch.setattr(threads, "_torchs_openmp", lambda: 0)
    elif not threads._torchs_openmp():
        pytest.skip("torch has another OpenMP here, or none")
    monkeypatch.setattr(threads, "usable_threads", lambda: 3)


@pytest.fixture(scope="module")
def numbers() -> list[torch.Tensor]:
    """Rows shorter and longer than what a thread takes at a time, the last by far the longest."""
    random = torch.Generator().manual_seed(0)
    return [torch.randn(count, generator=random) for count in (0, 1, 70_000, 65_536, 300, 131_073, 2_000_000)]


def rows_of(tensors: list[torch.Tensor]) -> Rows:
    kind = KINDS["float32"]
    return array("q", [number for each in tensors for number in (each.data_ptr(), each.numel(), kind)])


def test_statistics_have_the_same_bits(several: None, numbers: list[torch.Tensor]) -> None:
    together = sums_of(rows_of(numbers))
    singly = [sums for each in numbers for sums in sums_of(rows_of([each])) or ()]
    assert together == singly


@pytest.mark.parametrize("row", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("place", [0, -1])
def test_the_first_of_several_rows_that_are_not_finite_is_found(
    several: None, numbers: list[torch.Tensor], row: int, place: int
) -> None:
    spoilt = [each.clone() if index >= row else each for index, each in enumerate(numbers)]
    for each in spoilt[row:]:
        each[place] = np.inf
    assert first_not_finite(rows_of(numbers)) == len(numbers)
    assert first_not_finite(rows_of(spoilt)) == row


def test_an_openmp_that_is_not_loaded_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "libgomp.so.1").write_bytes(b"of no processor")
    assert threads._openmp_in(tmp_path) == 0

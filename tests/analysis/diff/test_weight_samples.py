"""How far two weights are apart by what traces remember of them, where some of it isn't finite."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import pytest

from tracetui.analysis.diff.weights import WeightDifferences, WeightPair, difference
from tracetui.recording.weight_prints import WeightPrint
from tracetui.views.diff.weights import weight_lines

NAME = "model.layers.0.mlp.up_proj.weight"


def weight(*sample: float, digest: str = "a" * 16, dtype: str = "float32") -> WeightPrint:
    return WeightPrint((2, len(sample)), dtype, "file", digest, sample)


def apart(a: WeightPrint, b: WeightPrint) -> float | None:
    return difference(a, replace(b, digest="b" * 16))


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_an_element_that_is_not_finite_counts_as_one_of_a_few(bad: float) -> None:
    one, other = weight(1.0, bad, 2.0), weight(1.0, 3.0, 2.0)
    relative = apart(one, other)
    assert relative == 0
    assert apart(other, one) == 0
    (line, *_) = weight_lines(WeightDifferences(1, (WeightPair(NAME, one, other, relative),)))
    assert "by a few elements" in line
    assert "shape" not in line
    assert "[2, 3]" not in line


def test_the_others_are_measured_beside_it() -> None:
    assert apart(weight(4.0, nan, 3.0), weight(4.0, nan, 0.0)) == pytest.approx(0.75)


@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_alike_but_for_the_dtype_they_are_the_same(bad: float) -> None:
    assert apart(weight(1.0, bad), weight(1.001, bad, dtype="bfloat16")) is None
    assert apart(weight(1.0, bad), weight(1.1, bad, dtype="bfloat16")) is not None


def test_another_shape_is_told_as_one() -> None:
    one, other = weight(1.0, 2.0), weight(1.0, 2.0, 3.0)
    relative = apart(one, other)
    assert relative == inf
    (line, *_) = weight_lines(WeightDifferences(1, (WeightPair(NAME, one, other, relative),)))
    assert "[2, 2] in A, [2, 3] in B" in line

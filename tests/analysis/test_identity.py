"""Two ways to the same numbers, and how far apart rounding lets them be."""

from __future__ import annotations

import numpy as np
import pytest

from tracetui.analysis.identity import dot_size, identity, judged, long_sum

NUMBERS = np.random.default_rng(0).standard_normal((7, 300, 40)).astype(np.float32)


@pytest.mark.parametrize(("dtype", "bits"), [("float16", 10), ("bfloat16", 7)])
def test_rounding_to_a_dtype_holds_and_four_times_as_much_does_not(dtype: str, bits: int) -> None:
    exponent = np.floor(np.log2(np.abs(NUMBERS)))
    step = np.exp2(exponent - bits)
    rounded = np.round(NUMBERS / step) * step
    scale = float(np.abs(NUMBERS).max())
    assert identity(rounded, NUMBERS, dtype, scale).holds
    assert not identity(NUMBERS * (1 + 2.0 ** (2 - bits)), NUMBERS, dtype, scale).holds
    assert not identity(rounded, NUMBERS, "float32", scale).holds


def test_sums_in_another_order_agree_in_float32() -> None:
    forward, backward = NUMBERS.sum(axis=1), NUMBERS[:, ::-1].sum(axis=1)
    scale = float(np.abs(NUMBERS).sum(axis=1).max())
    found = identity(forward, backward, "float32", scale)
    assert found.holds
    assert 0 < found.difference == np.abs(forward.astype(float) - backward).max()


def test_numbers_against_none_are_infinitely_far_apart_and_none_against_none_agree() -> None:
    odd = np.array([1.0, np.nan, np.inf, -np.inf])
    assert identity(odd, odd, "float32", 1.0) == judged(0.0, "float32", 1.0)
    for place in range(1, 4):
        plain = odd.copy()
        plain[place] = 2.0
        broken = identity(odd, plain, "bfloat16", 1.0)
        assert (broken.difference, broken.holds) == (np.inf, False)
    assert not identity(np.array([np.inf]), np.array([-np.inf]), "float32", np.inf).holds


def test_nothing_to_compare_holds_and_an_infinite_scale_excuses_nothing() -> None:
    assert identity(np.zeros((0, 4)), np.zeros((0, 4)), "float32", 0.0).holds
    assert not judged(0.5, "bfloat16", np.inf).holds
    assert not judged(0.5, "bfloat16", np.nan).holds


def test_an_unknown_dtype_is_taken_for_a_coarse_one() -> None:
    assert judged(0.2, "float8_e4m3fn", 1.0).holds
    assert not judged(0.3, "float8_e4m3fn", 1.0).holds


@pytest.mark.parametrize("terms", [8, 128, 2048])
def test_products_of_any_length_agree_in_float32(terms: int) -> None:
    one, other = (np.random.default_rng(seed).standard_normal((200, terms)).astype(np.float32) for seed in (1, 2))
    straight = np.zeros((200, 200), np.float32)
    for term in range(terms):
        straight += one[:, term, None] * other[None, :, term]
    scale = dot_size(one, other) * long_sum(terms, "float32")
    found = identity(straight, one @ other.T, "float32", scale)
    assert found.holds
    assert found.difference > 0
    assert found.tolerance < 1e-3 * np.abs(straight).max()

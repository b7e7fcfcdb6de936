"""A layout found by shape alone gives the other side's values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.analysis.mapping.layouts import SAME, halves_from_pairs, layouts, pairs_from_halves
from tracetui.recording.value import Array

_size = st.integers(1, 5)


def _forms(batch: int, tokens: int, heads: int, size: int) -> dict[str, Array]:
    """One tensor as implementations lay it out."""
    split = np.arange(batch * tokens * heads * size, dtype=np.float32).reshape(batch, tokens, heads, size)
    forms = {"BTW": split.reshape(batch, tokens, -1), "BTHK": split, "BHTK": split.swapaxes(1, 2)}
    forms["NW"] = forms["BTW"].reshape(batch * tokens, -1)
    if batch == 1:
        forms |= {"THK": split[0], "HTK": forms["BHTK"][0], "TW": forms["BTW"][0]}
    return {name: np.ascontiguousarray(form) for name, form in forms.items()}


@given(_size, _size, _size, _size)
def test_some_layout_makes_each_form_of_each_other(batch: int, tokens: int, heads: int, size: int) -> None:
    forms = _forms(batch, tokens, heads, size)
    for wanted_name, wanted in forms.items():
        for name, found in forms.items():
            if {wanted_name, name} & {"NW"} and {wanted_name, name} & {"BHTK", "HTK", "BTHK", "THK"}:
                continue
            made = [layout.apply(found) for layout in layouts(wanted.shape, found.shape)]
            assert all(array.shape == wanted.shape for array in made), (wanted_name, name)
            assert any(np.array_equal(array, wanted) for array in made), (wanted_name, name)


@given(st.lists(_size, max_size=4), st.lists(_size, max_size=4))
def test_every_layout_has_the_shape_it_promises(wanted: list[int], found: list[int]) -> None:
    array = np.zeros(found, dtype=np.float32)
    for layout in layouts(tuple(wanted), tuple(found)):
        assert layout.apply(array).shape == tuple(wanted)


def test_equal_shapes_are_left_alone_first() -> None:
    assert next(layouts((2, 3), (2, 3))) is SAME
    assert list(layouts((2, 3), (4, 5))) == []
    (turned,) = layouts((2, 3), (3, 2))
    assert turned.name == "axes reversed"


@pytest.mark.parametrize("shape", [(2, 3, 8), (1, 2, 3, 8), (16,)])
def test_pairs_and_halves_are_each_other_s_reverse(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=shape)
    turned = halves_from_pairs(8).apply(array)
    np.testing.assert_array_equal(pairs_from_halves(8).apply(turned), array)
    assert not np.array_equal(turned, array)
    np.testing.assert_array_equal(turned[..., :4], array[..., 0:8:2])

"""A pyramid keeps the order of numbers, and never loses the cell that matters."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tracetui.views.heatmap import pyramid as module
from tracetui.views.heatmap.pyramid import MASKED, MAX_ZOOM, NAN, Codes, build, fit, pixels, pooled
from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.palette import LEVELS

Matrix = npt.NDArray[np.float32]
OF_ALL = [kind for kind in ScaleKind if kind is not ScaleKind.ROWS]
"""Those that one scale serves for all rows."""
SCALES = list(product(OF_ALL, (False, True)))

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
)


def _pool(values: Matrix, diverging: bool) -> Matrix:
    """The strongest of each 2×2 square, spelt out."""
    rows, columns = values.shape
    pooled_values = np.empty((-(-rows // 2), -(-columns // 2)), np.float32)
    for row, column in np.ndindex(*pooled_values.shape):
        square = values[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel().tolist()
        pooled_values[row, column] = max(square, key=lambda value: _strength(value, diverging))
    return pooled_values


def _strength(value: float, diverging: bool) -> tuple[int, float, bool]:
    if np.isnan(value):
        return (2, 0.0, False)
    if value == -np.inf:
        return (0, 0.0, False)
    return (1, abs(value) if diverging else value, value >= 0)


def _size(codes: Codes, diverging: bool) -> npt.NDArray[np.int64]:
    """What a code says but for the sign: of -1.01 and 1 in one square, both within one level, either may stay."""
    return (codes.astype(np.int64) - 1) // (2 if diverging else 1)


@pytest.mark.parametrize(("kind", "diverging"), SCALES)
@given(values=matrices)
def test_halving_commutes_with_quantising(kind: ScaleKind, diverging: bool, values: Matrix) -> None:
    whole = build(values, kind=kind, diverging=diverging)
    for level in whole.levels[1:]:
        values = _pool(values, diverging)
        again = build(values, kind=kind, diverging=diverging, scale=whole.scale)
        np.testing.assert_array_equal(_size(level, diverging), _size(again.levels[0], diverging))
    assert whole.levels[-1].shape == (1, 1)


@pytest.mark.parametrize("kind", OF_ALL)
@given(values=matrices)
def test_codes_keep_the_order_of_numbers(kind: ScaleKind, values: Matrix) -> None:
    codes = build(values, kind=kind).levels[0]
    order = np.argsort(values[~np.isnan(values)], kind="stable")
    assert (np.diff(codes[~np.isnan(values)][order].astype(int)) >= 0).all()


@pytest.mark.parametrize(("kind", "diverging"), SCALES)
@given(values=matrices)
def test_masked_and_nan_have_codes_of_their_own(kind: ScaleKind, diverging: bool, values: Matrix) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pyramid = build(values, kind=kind, diverging=diverging)
    codes = pyramid.levels[0]
    np.testing.assert_array_equal(codes == NAN, np.isnan(values))
    np.testing.assert_array_equal(codes == MASKED, values == -np.inf)
    assert (codes[values == np.inf] == LEVELS).all()
    assert (pyramid.nan, pyramid.masked) == (bool(np.isnan(values).any()), bool((values == -np.inf).any()))
    assert pyramid.visible == bool(np.isfinite(values).any())


@given(matrices, st.data())
def test_a_mask_is_the_same_as_minus_infinity(values: Matrix, data: st.DataObject) -> None:
    masked = data.draw(hnp.arrays(np.bool_, values.shape))
    with_mask, with_infinity = build(values, masked), build(np.where(masked, np.float32(-np.inf), values))
    assert with_mask.scale == with_infinity.scale
    for one, other in zip(with_mask.levels, with_infinity.levels, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("hot", [7.0, -7.0, np.nan])
def test_one_hot_cell_is_seen_at_every_zoom(hot: float) -> None:
    values = np.full((37, 61), 0.25, np.float32)
    values[36, 60] = hot
    pyramid = build(values, diverging=True)
    expected = pyramid.levels[0][36, 60]
    assert expected > pyramid.levels[0][0, 0]
    for step, level in enumerate(pyramid.levels):
        assert level[36 >> step, 60 >> step] == level.max() == expected
        assert pyramid.strongest(0, 0, (1 << step, 1 << step)) == (
            (36, 60) if step == len(pyramid.levels) - 1 else (0, 0)
        )


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    values[3, 4], values[20:30], values[49, 39] = np.nan, -np.inf, 9
    whole = build(values)
    monkeypatch.setattr(module, "_BLOCK", 80)
    for one, other in zip(whole.levels, build(values).levels, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_ends_of_the_scale_have_the_ends_of_the_palette() -> None:
    values = np.array([[-3.0, 1.0, 5.0]], np.float32)
    pyramid = build(values)
    assert (pyramid.scale.low, pyramid.scale.high) == (-3.0, 5.0)
    assert pyramid.levels[0].tolist() == [[1, 1 + LEVELS // 2, LEVELS]]


def test_around_zero_both_sides_have_the_same_range() -> None:
    pyramid = build(np.array([[-4.0, -1.0, 0.0, 1.0, 2.0]], np.float32), diverging=True)
    assert (pyramid.scale.low, pyramid.scale.high) == (-4.0, 4.0)
    levels = [pyramid.scale.level(int(code)) for code in pyramid.levels[0][0]]
    assert levels[0] == 0
    assert levels[1] + levels[3] == LEVELS - 1
    assert levels[2] == LEVELS // 2


def test_each_decade_of_a_log_scale_has_as_many_levels() -> None:
    values = np.array([[1e-6, 1e-4, 1e-2, 1.0, 0.0, -1.0]], np.float32)
    codes = build(values, kind=ScaleKind.LOG).levels[0][0].astype(int)
    assert np.ptp(np.diff(codes[:4])) <= 1
    assert codes[3:].tolist() == [LEVELS, 1, 1]


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0, 1e-45, 3e38])
@pytest.mark.parametrize(("kind", "diverging"), SCALES)
def test_a_constant_matrix_has_a_scale(kind: ScaleKind, diverging: bool, value: float) -> None:
    pyramid = build(np.full((3, 3), value, np.float32), kind=kind, diverging=diverging)
    assert pyramid.scale.low < pyramid.scale.high
    assert len(np.unique(pyramid.levels[0])) == 1
    assert 1 <= pyramid.levels[0][0, 0] <= LEVELS


def test_without_a_number_above_zero_log_says_that_it_is_linear() -> None:
    assert build(np.array([[-1.0, 0.0]], np.float32), kind=ScaleKind.LOG).scale.kind is ScaleKind.LINEAR


@pytest.mark.parametrize("dtype", [np.int64, np.float16, np.bool_, np.uint8])
def test_counts_and_narrow_numbers_are_as_good(dtype: type[np.generic]) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    assert build(values).levels[0].tolist() == [[1, LEVELS], [LEVELS, 1]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_matrix_is_no_error(shape: tuple[int, int]) -> None:
    pyramid = build(np.zeros(shape, np.float32))
    assert pyramid.shape == shape
    assert not pyramid.visible


@pytest.mark.parametrize("diverging", [False, True])
def test_levels_and_codes_are_each_others_inverse(diverging: bool) -> None:
    scale = Scale(ScaleKind.LINEAR, -1.0, 1.0, diverging)
    assert [scale.level(scale.code(level)) for level in range(LEVELS)] == list(range(LEVELS))
    assert {scale.code(level) for level in range(LEVELS)} == set(range(1, LEVELS + 1))


def test_levels_cannot_be_written() -> None:
    for level in build(np.eye(5, dtype=np.float32)).levels:
        assert not level.flags.writeable


sizes = st.integers(1, 5000)


@given(sizes, sizes, st.integers(1, 300), st.integers(1, 100))
def test_the_fitting_zoom_is_the_largest_that_fits(rows: int, columns: int, width: int, height: int) -> None:
    def fits(zoom: int) -> bool:
        across, down = (-(-length // pooled(zoom)) * pixels(zoom) for length in (columns, rows))
        return across <= width and down <= 2 * height

    zoom = fit(rows, columns, width, height)
    assert fits(zoom)
    assert zoom == MAX_ZOOM or not fits(zoom + 1)


def test_row_by_row_each_row_goes_up_to_its_own_largest() -> None:
    values = np.array([[1, 2, 4], [10, 20, 40], [0, 0, -np.inf], [np.nan, np.inf, 5]], np.float32)
    codes = build(values, kind=ScaleKind.ROWS).levels[0]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert codes[0].tolist() == [17, 33, 64]
    assert codes[2].tolist() == [1, 1, MASKED]
    assert codes[3].tolist() == [NAN, 64, 64]
    signed = build(np.array([[-4.0, 2], [8, -4]]), kind=ScaleKind.ROWS, diverging=True)
    sizes = _size(signed.levels[0], True)
    assert sizes.tolist() == [[31, 16], [31, 16]]


@pytest.mark.parametrize(
    "scale",
    [
        Scale(ScaleKind.LINEAR, 2.0, 6.0),
        Scale(ScaleKind.ROOT, 0.0, 1.0),
        Scale(ScaleKind.LOG, 1e-6, 1.0, floor=1e-6),
        Scale(ScaleKind.LINEAR, -3.0, 3.0, True),
        Scale(ScaleKind.LOG, -3.0, 3.0, True, 0.003),
    ],
    ids=lambda scale: f"{scale.kind}{scale.diverging}",
)
def test_a_position_leads_back_to_its_number(scale: Scale) -> None:
    for position in np.linspace(-1 if scale.diverging else 0, 1, 9):
        number = scale.number(float(position))
        if not (scale.kind is ScaleKind.LOG and position == 0):
            assert scale.positions(np.array([number]))[0] == pytest.approx(position, abs=1e-6)

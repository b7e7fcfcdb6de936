"""The compiled distance of two tensors: numpy's, whatever their shapes, dtypes and differences."""

from __future__ import annotations

import ctypes
from dataclasses import asdict

import numpy as np
import pytest

from tests.native.test_statistics import needs_library
from tracetui.analysis.diff.distances import distance, sums
from tracetui.analysis.diff.distances.compiled import differences_of
from tracetui.analysis.diff.distances.distance import Distance, distance_and_norms
from tracetui.analysis.diff.rounding.tolerance import Limits, Tolerance
from tracetui.native.differences import FloatDifferences, add_differences
from tracetui.recording.value import Array, ArrayValue

SHAPES = [(), (1,), (1, 1, 16), (5, 7), (3, 513), (2, 65, 300), (3, 40_000)]
TOLERANCES = [Limits().tolerance("float32", "float32", 0.0), Tolerance(1e-4, 1e-5), Tolerance(0.0, 0.0)]


def sides(shape: tuple[int, ...], kind: str, dtype_a: str, dtype_b: str) -> tuple[Array, Array]:
    random = np.random.default_rng(len(shape))
    b = random.standard_normal(shape)
    b = np.where(random.random(shape) < 0.1, 0.0, b)
    b, a = b.astype(dtype_b), b.copy()
    if kind == "rounded":
        a = a * (1 + 1e-6 * random.standard_normal(shape))
    elif kind == "far":
        a = np.where(random.random(shape) < 0.05, a + 1, a * (1 + 1e-4))
    elif kind == "a huge row":
        a[..., 0] *= 1 + 1e-3
        b[:1] *= np.asarray(1e4, dtype_b)
    elif kind == "not finite" and a.ndim:
        a[..., -1], b[..., 0] = np.nan, np.inf
    return a.astype(dtype_a), b


def by_numpy(a: Array, b: Array, tolerance: Tolerance, monkeypatch: pytest.MonkeyPatch) -> tuple[Distance, Array]:
    with monkeypatch.context() as patch:
        for module in (distance, sums):
            patch.setattr(module, "differences_of", lambda *_, **__: None)
        return distance_and_norms(ArrayValue(a), ArrayValue(b), tolerance)


@needs_library
@pytest.mark.parametrize("kind", ["equal", "rounded", "far", "a huge row", "not finite"])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_that_of_numpy(shape: tuple[int, ...], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "a huge row" and not shape:
        pytest.skip("a number has no rows")
    for dtypes in (("float32", "float32"), ("float64", "float32"), ("float16", "float64")):
        a, b = sides(shape, kind, *dtypes)
        for tolerance in TOLERANCES:
            expected, norms = by_numpy(a, b, tolerance, monkeypatch)
            found, own = distance_and_norms(ArrayValue(a), ArrayValue(b), tolerance)
            assert own == pytest.approx(norms, rel=1e-12)
            assert asdict(found) == {key: _near(value) for key, value in asdict(expected).items()}


def _near(value: object) -> object:
    if isinstance(value, dict):
        return {key: _near(inner) for key, inner in value.items()}
    return pytest.approx(value, rel=1e-9, abs=1e-15, nan_ok=True) if isinstance(value, float) else value


@needs_library
def test_arrays_that_nobody_may_write_to_are_read_too() -> None:
    a, b = sides((5, 7), "rounded", "float32", "float32")
    expected = differences_of(a, b, TOLERANCES[0], True)
    for array in (a, b):
        array.flags.writeable = False
    made = differences_of(a, b, TOLERANCES[0], True)
    assert made is not None
    assert expected is not None
    assert np.array_equal(made[1][:3], expected[1][:3])
    assert bytes(made[0]) == bytes(expected[0])


@needs_library
def test_every_processor_computes_the_same_bits(narrow: ctypes.CDLL) -> None:
    function, fast = narrow.tracetui_differences, add_differences()
    assert fast is not None
    function.argtypes = fast.argtypes  # type: ignore[attr-defined]
    a, b = sides((9, 1001), "far", "float32", "float32")
    results = []
    for add in (function, fast):
        found, rows = FloatDifferences(1e-5, 8.0, 0.0, 1e-5, 1), np.empty((4, 9))
        add(a.ctypes.data, 0, b.ctypes.data, 0, 9, 1001, rows.ctypes.data, 1, found)
        results.append((bytes(found), rows[:3].tobytes()))
    assert results[0] == results[1]

"""The fast statistics equal float64 numpy's, those of compiled code and those without any."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracetui.native import library
from tracetui.recording import value
from tracetui.recording.statistics import Statistics, by_numpy
from tracetui.recording.value import statistics_of
from tracetui.tracer.capture import statistics
from tracetui.tracer.capture.statistics import of_tensor
from tracetui.tracer.capture.values import TorchValue

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(statistics, "of_rows", lambda rows: [None])
        monkeypatch.setattr(statistics, "finder", lambda: None)
        monkeypatch.setattr(value, "of_rows", lambda rows: [None] * (len(rows) // 3))
    elif library.library() is None:
        pytest.skip("this installation has no compiled code")


def reference(tensor: torch.Tensor) -> Statistics:
    return by_numpy(tensor.to(torch.float64).numpy() if tensor.is_floating_point() else tensor.numpy())


def check(tensor: torch.Tensor) -> None:
    found, expected = of_tensor(tensor), reference(tensor)
    if not expected.finite_count:
        # As text: NaN is no other NaN's equal, and from Python 3.13 on that holds inside of dataclasses, too.
        assert repr(found) == repr(expected)
        return
    scale = expected.absmax
    for field in ("l2", "std"):
        assert math.isclose(getattr(found, field), getattr(expected, field), rel_tol=1e-6, abs_tol=1e-12 * scale), field
    assert math.isclose(found.mean, expected.mean, rel_tol=1e-6, abs_tol=1e-6 * expected.std), "mean"
    exact = ("numel", "min", "max", "nan", "posinf", "neginf", "zeros")
    assert [getattr(found, field) for field in exact] == [getattr(expected, field) for field in exact]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("numel", [1, 2, 1023, 1024, 1025, 2**18 - 1, 2**18 + 77])
def test_of_noise(dtype: torch.dtype, numel: int) -> None:
    check(torch.randn(numel, generator=torch.Generator().manual_seed(numel)).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_a_narrow_distribution_far_from_zero(dtype: torch.dtype) -> None:
    """Sums in float32 give a negative variance here."""
    noise = torch.randn(300_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    check((noise * 0.01 + 100).to(dtype))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_of_integers(dtype: torch.dtype) -> None:
    check(torch.tensor([[0, 1, 1], [0, 0, 1]]).to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_not_finite_values(dtype: torch.dtype) -> None:
    nan, inf = math.nan, math.inf
    for values in ([nan, 1, -2], [inf, 1, 0], [-inf, -1, 0], [nan, inf, -inf], [nan], [-nan, -1.0]):
        check(torch.tensor(values, dtype=dtype))


def test_negative_zeros_are_zeros_and_no_alarm() -> None:
    found = of_tensor(torch.tensor([-0.0, 0.0, -1.0]))
    assert (found.zeros, found.min, found.max, found.finite) == (2, -1.0, 0.0, True)


def test_of_a_large_finite_value_whose_square_is_not() -> None:
    check(torch.tensor([3e38, -3e38, 1.0]))
    check(torch.full((2048,), 3e38))


@pytest.mark.parametrize("value", [123.456, 0.1, -7.0, 9e17, 1e-30])
def test_of_a_constant(value: float) -> None:
    check(torch.full((4096,), value))


def test_of_very_small_values() -> None:
    check(torch.randn(5000, generator=torch.Generator().manual_seed(1)) * 1e-22)


@pytest.mark.parametrize("shape", [(0,), (2, 0, 3)])
def test_of_nothing(shape: tuple[int, ...]) -> None:
    assert of_tensor(torch.empty(shape)).numel == 0


def test_layouts_make_no_difference() -> None:
    whole = torch.randn(4, 33, 65)
    for view in (whole.transpose(0, 2), whole[:, ::2], whole[..., 3], whole.expand(2, 4, 33, 65), whole[1:3, 5:]):
        check(view)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.floats(width=32), min_size=1, max_size=50),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
)
def test_any_floats(values: list[float], dtype: torch.dtype) -> None:
    tensor = torch.tensor(values, dtype=torch.float32).to(dtype)
    found, expected = of_tensor(tensor), reference(tensor)
    exact = ("numel", "min", "max", "nan", "posinf", "neginf", "zeros")
    assert [getattr(found, field) for field in exact] == [getattr(expected, field) for field in exact]
    np.testing.assert_allclose(found.l2, expected.l2, rtol=1e-6)


def test_a_large_tensor_with_a_nan_is_widened_a_part_at_a_time() -> None:
    """The reference's copies in float64 would take twenty times the memory of the logits of a long prompt."""
    values = torch.zeros(2**22, dtype=torch.bfloat16)
    values[-1] = math.nan
    tracemalloc.start()
    try:
        assert of_tensor(values).nan == 1
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_those_of_many_tensors_are_those_of_each() -> None:
    noise = torch.randn(3, 700, 5, generator=torch.Generator().manual_seed(1))
    spoilt = noise.half()
    spoilt[1, 2] = math.nan
    tensors = [
        noise,
        noise.transpose(0, 2).double(),
        noise[:, ::2],
        spoilt,
        noise.bfloat16(),
        torch.arange(9),
        torch.empty(0),
    ]
    tensors += [
        torch.tensor([1e200, -1e-200], dtype=torch.float64),
        torch.tensor(2.5),
        noise.to(torch.complex64).conj(),
    ]
    values = [TorchValue(tensor) for tensor in (*tensors, noise)]
    # As text: NaN is like NaN.
    assert repr(statistics_of([*values, values[0]])) == repr([of_tensor(each) for each in (*tensors, noise, noise)])

"""Numbers of a narrower dtype than they were kept in are held to their own dtype's tolerance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tracetui
from tests.analysis.diff.made import normal
from tracetui.analysis.diff.rounding.number_bits import narrow_dtype
from tracetui.recording.value import Array

SITES = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm")


def bfloat16(values: Array) -> Array:
    """Rounded to the nearest, as float32."""
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32)


def float16(values: Array) -> Array:
    return values.astype(np.float16).astype(np.float32)


REFERENCE = {site: normal(1, 6, 32, seed=number) for number, site in enumerate(SITES)}


@pytest.mark.parametrize(("rounded", "dtype"), [(bfloat16, "bfloat16"), (float16, "float16")])
def test_a_run_in_a_narrow_dtype_kept_as_float32_is_the_same(rounded: Callable[[Array], Array], dtype: str) -> None:
    port = {site: rounded(values) for site, values in REFERENCE.items()}
    diff = tracetui.diff(port, REFERENCE)
    assert diff.same, str(diff)
    assert f"A's numbers are {dtype}, kept as float32 (4 tensors)" in " ".join(str(diff).split())
    assert diff.sites[0].pair.a.record.dtype == dtype


def test_float32_numbers_in_float64_on_both_sides_are_held_to_float32() -> None:
    port = {site: (values * np.float32(1 + 2e-6)).astype(np.float64) for site, values in REFERENCE.items()}
    reference = {site: values.astype(np.float64) for site, values in REFERENCE.items()}
    assert tracetui.diff(port, reference).same


def test_what_is_off_by_more_than_its_dtype_differs() -> None:
    port = {site: bfloat16(values) for site, values in REFERENCE.items()}
    port["model.layers.1"] = bfloat16(port["model.layers.1"] * np.float32(1.2))
    assert not tracetui.diff(port, REFERENCE).same


def test_a_single_tensor_in_bfloat16_is_told_as_a_fault() -> None:
    port = {**REFERENCE, "model.layers.0": bfloat16(REFERENCE["model.layers.0"])}
    diff = tracetui.diff(port, REFERENCE)
    assert diff.first is not None
    assert diff.first.site == "model.layers.0"
    assert "kept as" not in str(diff)


def test_a_file_in_float32_is_left_as_it_is() -> None:
    assert "kept as" not in str(tracetui.diff(REFERENCE, REFERENCE))


@pytest.mark.parametrize("values", [np.zeros(99, np.float32), np.arange(99, dtype=np.float32), normal(4)])
def test_few_or_plain_numbers_tell_nothing(values: Array) -> None:
    assert narrow_dtype(values) is None

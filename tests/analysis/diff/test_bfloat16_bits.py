"""bfloat16 in a file of numpy's, which has no such dtype: its bits as 16-bit integers, or as two bytes of no kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracetui
from tests.analysis.diff.made import normal
from tests.analysis.diff.test_number_bits import bfloat16
from tracetui.recording.value import Array

SITES = ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.norm")
REFERENCE = {site: normal(1, 6, 32, seed=number) for number, site in enumerate(SITES)}


def bits(values: Array, dtype: str) -> Array:
    return (bfloat16(values).view(np.uint32) >> 16).astype(np.uint16).view(dtype)


def dump(path: Path, dtype: str, **others: Array) -> Path:
    arrays: dict[str, Any] = {site: bits(values, dtype) for site, values in {**REFERENCE, **others}.items()}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("dtype", ["uint16", "int16", "V2"])
def test_bits_are_read_as_the_numbers_that_they_are(tmp_path: Path, dtype: str) -> None:
    diff = tracetui.diff(dump(tmp_path / "a.npz", dtype), REFERENCE)
    assert diff.same, str(diff)
    assert len(diff.sites) == len(SITES)
    assert diff.sites[0].pair.a.record.dtype == "bfloat16"
    assert ("16-bit integers" in " ".join(str(diff).split())) == (dtype != "V2")


@pytest.mark.parametrize("dtype", ["uint16", "V2"])
def test_a_fault_in_them_is_told_in_numbers(tmp_path: Path, dtype: str) -> None:
    wrong = {"model.layers.1": REFERENCE["model.layers.1"] * np.float32(1.5)}
    diff = tracetui.diff(dump(tmp_path / "a.npz", dtype, **wrong), REFERENCE)
    assert diff.first is not None
    assert diff.first.site == "model.layers.1"
    assert diff.first.distance is not None
    assert diff.first.distance.relative == pytest.approx(0.5, abs=0.01)


def test_a_fortran_array_and_a_number_alone_are_read(tmp_path: Path) -> None:
    values = REFERENCE["model.norm"]
    turned = np.asfortranarray(bits(values, "V2"))
    np.savez(tmp_path / "a.npz", x=turned, one=bits(values, "V2")[0, 0, 0])
    trace = tracetui.open_trace(tmp_path / "a.npz")
    assert np.array_equal(trace["x"], bfloat16(values))
    assert trace["one"] == bfloat16(values)[0, 0, 0]


@pytest.mark.parametrize("ids", [np.arange(1, 65), np.arange(12000, 12064)])
def test_token_ids_are_no_bits(ids: Array) -> None:
    whole = {"input_ids": ids.astype(np.uint16)}
    diff = tracetui.diff(whole, {"input_ids": ids})
    assert diff.same
    assert "bits" not in str(diff)

"""Statistics in a file that aren't those of its values are found by `info --check`."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.analysis.diff.made import trace_of
from tests.recording.made import KnownValue
from tracetui.analysis.diff.report import report
from tracetui.commands.traces import info
from tracetui.errors import InputError
from tracetui.recording.npz import write_trace
from tracetui.recording.npz.reader import read_trace
from tracetui.recording.statistics import of_array
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

ARRAYS: dict[str, Array] = {
    "a": np.linspace(-3, 5, 24, dtype=np.float32).reshape(4, 6),
    "b": np.array([1.0, np.nan, np.inf, 0.0], np.float32),
    "c": np.array([[7]], np.int64),
}
TRUE = {name: of_array(array) for name, array in ARRAYS.items()}


def checked(folder: Path, **statistics: object) -> None:
    values = tuple(
        KnownValue(array, array.dtype.name, statistics.get(name, TRUE[name]))  # type: ignore[arg-type]
        for name, array in ARRAYS.items()
    )
    write_trace(replace(trace_of(ARRAYS), values=values), folder / "t.npz")
    info(Namespace(trace=str(folder / "t.npz"), check=True, json=False))


def test_true_ones_are_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checked(tmp_path)
    assert "statistics  of all 3 tensors with values right" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a", {"l2": 3.0}),
        ("a", {"min": -3.1}),
        ("a", {"zeros": 1}),
        ("b", {"nan": 0, "zeros": 1}),
        ("b", {"mean": np.nan}),
        ("c", {"std": np.inf}),
    ],
)
def test_a_wrong_one_is_told_by_its_record(tmp_path: Path, name: str, change: dict[str, float]) -> None:
    wrong = replace(TRUE[name], **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"t.npz: the statistics of {name} aren't those of the values"):
        checked(tmp_path, **{name: wrong})


def stored(path: Path, values: Array, stated: Array) -> Trace:
    write_trace(replace(trace_of({"x": values}), values=(KnownValue(values, "float32", of_array(stated)),)), path)
    return read_trace(path)


def test_a_divergence_in_values_of_a_damaged_file_blames_nobody(tmp_path: Path) -> None:
    right = ARRAYS["a"]
    damaged = right.copy()
    damaged[2, 3] = 1e29
    good, other = stored(tmp_path / "good.npz", right, right), stored(tmp_path / "other.npz", damaged, damaged)
    broken = stored(tmp_path / "broken.npz", damaged, right)
    found = report(other, good)
    assert found.first is not None, "numbers that a run has made are no damage"
    assert report(good, good).comparison.same
    for side, pair in (("A", (broken, good)), ("B", (good, broken))):
        with pytest.raises(InputError, match=rf"^{side}: x: its values aren't those .* --check .*broken.npz"):
            report(*pair)

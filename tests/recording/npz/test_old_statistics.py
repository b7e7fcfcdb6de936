"""Files from before a tensor without a finite element had no numbers keep opening, and show none."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from tests.analysis.diff.made import trace_of
from tracetui.formats.structs import read_json
from tracetui.recording.npz.decode_records import statistics_of
from tracetui.recording.npz.encode import plain_statistics
from tracetui.recording.npz.forms import StatisticsForm
from tracetui.recording.npz.reader import read_trace
from tracetui.recording.npz.writer import write_trace
from tracetui.recording.statistics import of_array, without_finite


def test_what_an_old_file_has_of_nothing_finite_is_no_number() -> None:
    written = plain_statistics(of_array(np.full(3, np.nan)))
    assert written["l2"] is None
    old = {**written, **dict.fromkeys(("l2", "mean", "std", "min", "max"), 0.0)}
    for document in (written, old):
        form = read_json(json.dumps(document).encode(), StatisticsForm, "t.npz")
        assert repr(statistics_of(form)) == repr(without_finite(3, nan=3))


def test_a_file_gives_back_that_nothing_is_finite(tmp_path: Path) -> None:
    trace = trace_of({"model.layers.0": np.full((1, 2, 3), np.inf, np.float32)})
    write_trace(trace, tmp_path / "t.npz")
    found = read_trace(tmp_path / "t.npz").values[0].statistics()
    assert math.isnan(found.l2)
    assert repr(found) == repr(without_finite(6, posinf=6))

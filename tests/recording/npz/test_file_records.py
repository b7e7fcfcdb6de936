"""Records of a file are made when they are asked for, and are the same ones whoever asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tests.analysis.diff.made import trace_of
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace


def opened(folder: Path) -> tuple[Trace, Trace]:
    trace = trace_of({f"model.layers.{layer}": np.full((1, 2), layer, np.float32) for layer in range(40)})
    write_trace(trace, folder / "t.npz")
    return trace, read_trace(folder / "t.npz")


def test_one_by_one_or_all_at_once_they_are_those_that_were_written(tmp_path: Path) -> None:
    trace, read = opened(tmp_path)
    last, some = read.records[-1], read.records[3:5]
    assert last == trace.records[-1]
    assert tuple(some) == tuple(trace.records[3:5])
    assert read.records == tuple(trace.records)
    assert read.records[-1] is last
    assert list(read.records)[-1] is last
    assert read.find(last.key) is last


def test_threads_that_ask_at_once_get_one_and_the_same(tmp_path: Path) -> None:
    _, read = opened(tmp_path)

    def ask(index: int) -> tuple[Record, ...]:
        return (read.records[index % 40], *read.records) if index % 3 else (read.records[index % 40],)

    with ThreadPoolExecutor(8) as pool:
        for records in pool.map(ask, range(400)):
            assert all(record is read.records[record.index] for record in records)

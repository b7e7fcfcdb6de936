"""Writing a trace whose statistics are known, beside writing its values' bytes raw and syncing them.

Run it with `python -m tests.benchmarks export`; it takes half a gigabyte of disk.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.large import TOKENS, WIDTH, large_trace
from tests.benchmarks.results import Results, ratios
from tracetui.recording.npz import write_trace
from tracetui.recording.trace import Trace

RECORDS, ROUNDS, TARGET = 60, 7, 1.3


def write_raw(trace: Trace, path: Path) -> None:
    """The values one after the other, into a new file that takes the old one's place when it is on disk."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for value in trace.values:
            file.write(np.ascontiguousarray(value.read()).data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def main(results: Results, rounds: int = ROUNDS) -> None:
    size = RECORDS * TOKENS * WIDTH * 4 / 1e9
    results.begin("export", f"a trace of {size:.2f} GB in {RECORDS} records, statistics known, on disk when it returns")
    trace = large_trace(0.0, RECORDS)
    trace.all_statistics()
    with tempfile.TemporaryDirectory() as folder:
        ways: tuple[Callable[[], object], ...] = (
            lambda: write_trace(trace, Path(folder, "trace.npz")),
            lambda: write_raw(trace, Path(folder, "raw")),
        )
        taken = [[seconds(way) for way in ways] for _ in range(rounds + 1)][1:]
    for place, (label, target) in enumerate((("export, by the clock", TARGET), ("export, CPU time", None))):
        ours, raw = ([each[way][place] for each in taken] for way in (0, 1))
        results.add(
            label, ratios(ours, raw), of="writing the same bytes and syncing", target=target, sizes={"gigabytes": size}
        )


if __name__ == "__main__":
    main(Results())

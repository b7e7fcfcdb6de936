"""`python -m tests.long_use [PROMPTS STEPS RECORDS]`: memory, threads, hooks and files stay what they were.

1,000 prompts through one model; 50,000 steps back and forth, values read, in a trace of 200,000 records that is opened,
searched and compared with itself. What the second half of each adds is printed, with the processor's seconds and the
process's peak so far; more than a little growth ends with 1.
"""

from __future__ import annotations

import gc
import random
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tests.hooks_left import hooks_left
from tests.recording.made import small_trace
from tracetui.analysis.diff.compare import compare
from tracetui.debugger.session import Event
from tracetui.models.weights.available_memory import own_bytes
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.record import Record
from tracetui.recording.sites import SitePattern
from tracetui.recording.stepping import Step, ahead, back
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue

_MOST_GROWTH = 4 * 2**20
"""Bytes that the second half may add: the allocator's own ups and downs."""


def main(arguments: list[str]) -> int:
    """Run all and print a table; returns the exit status."""
    prompts, steps, records = (int(each) for each in arguments or ("1000", "50000", "200000"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.npz"
        write_trace(_long_trace(records), path)
        uses: dict[str, Callable[[], Iterator[float]]] = {
            f"one comparison of {records:,} records": lambda: _comparison(path),
            f"{prompts:,} prompts": lambda: _prompts(prompts),
            f"{steps:,} steps in {records:,} records": lambda: _steps(path, steps),
            "20 openings, searches and comparisons": lambda: _openings(path, 20),
        }
        return max([_measured(name, use()) for name, use in uses.items()])


def _measured(name: str, use: Iterator[float]) -> int:
    """Go through a use, which tells how much of it is done, and print what its second half added."""
    threads, files, began = threading.active_count(), _files(), time.process_time()
    half = None
    for done in use:
        if half is None and done >= 0.5:
            half = _held()
    grown = _held() - (half or 0)
    threads, files = threading.active_count() - threads, _files() - files
    took, peak = time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    told = f"memory {grown / 2**20:+7.2f} MiB  threads {threads:+d}  files {files:+d}"
    print(f"{name:45} {told}  {took:6.0f} s  peak {peak:6,.0f} MiB", flush=True)
    return int(grown > _MOST_GROWTH or threads > 0 or files > 0)


def _files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _held() -> int:
    gc.collect()
    return own_bytes()


def _prompts(count: int) -> Iterator[float]:
    from tests.tracer.recipes import recipe
    from tracetui.recipe import Prompts
    from tracetui.tracer.engine import Engine
    from tracetui.tracer.gate import Gate

    events: list[Event] = []
    engine, rng = Engine(recipe(), events.append), random.Random(0)
    model = engine.runnable.built.module
    for number in range(count):
        ids = tuple(rng.randrange(300) for _ in range(rng.randrange(2, 30)))
        engine.run(Prompts(ids=(ids,)), Gate())
        events.clear()
        yield number / count
    left = hooks_left(model)
    engine.close()
    if left:
        raise AssertionError(f"{left} hooks are left")


def _steps(path: Path, count: int) -> Iterator[float]:
    trace, rng, at = read_trace(path), random.Random(0), 0
    for number in range(count):
        to = ahead(trace.records, at, rng.choice(list(Step))) if rng.random() < 0.5 else back(trace.records, at)
        at = rng.randrange(len(trace.records)) if to is None else to
        trace.value(trace.records[at]).read()
        yield number / count


def _comparison(path: Path) -> Iterator[float]:
    compare(read_trace(path), read_trace(path))
    yield 0.5


def _openings(path: Path, count: int) -> Iterator[float]:
    pattern = SitePattern("*.7.*")
    for number in range(count):
        trace = read_trace(path)
        sum(pattern.matches(record.site) for record in trace.records)
        if number < 4:
            compare(trace, read_trace(path))
        yield number / count


def _long_trace(count: int) -> Trace:
    """Layers of ten records each, all of one small value a layer."""
    first = small_trace()
    records, values = [], []
    for index in range(count):
        layer, part = divmod(index, 10)
        path = f"model.layers.{layer}"
        site = path if part == 9 else f"{path}.part{part}"
        value = ArrayValue(np.full((1, 2, 4), index % 97, np.float32))
        records.append(Record(index, site, (1, 2, 4), "float32", 1 if part == 9 else 2, "" if part == 9 else path))
        values.append(value)
    return Trace(RunInfo(), first.tokens, records, values, {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

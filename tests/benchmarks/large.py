"""Comparing two large traces, beside numpy's reading of both and the largest difference of each tensor.

Run it with `python -m tests.benchmarks large`; it takes 2 GB of disk. Half of the tensors are the same in both traces.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.results import Results, ratios
from tests.benchmarks.workers import run
from tracetui.recording.npz import write_trace
from tracetui.recording.record import Record, Token
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue

RECORDS, TOKENS, WIDTH, ROUNDS = 250, 1024, 1024, 5
"""4 MiB a record in float32."""
TARGET = 1.1
OURS = """
import sys, time
from pathlib import Path
from tracetui.api.differences import diff
from tracetui.recording.npz import read_trace
start = time.process_time()
diff(*(read_trace(Path(path)) for path in sys.argv[1:]))
print(time.process_time() - start)
"""
NUMPY = """
import sys, time
import numpy as np
start = time.process_time()
a, b = map(np.load, sys.argv[1:])
for name in a.files:
    if name.startswith("model."):
        np.abs(a[name] - b[name]).max()
print(time.process_time() - start)
"""


def large_trace(noise: float, records: int = RECORDS) -> Trace:
    """A few tensors, over and over: every other one times 1 + noise."""
    random = np.random.default_rng(0)
    few = [random.standard_normal((1, TOKENS, WIDTH), np.float32) for _ in range(4)]
    arrays = [array * np.float32(1 + noise * (place % 2)) for place, array in enumerate(few)]
    values = [ArrayValue(arrays[index % 4]) for index in range(records)]
    made = [
        Record(index, f"model.layers.{index}.mlp", (1, TOKENS, WIDTH), "float32", 3, f"model.layers.{index}")
        for index in range(records)
    ]
    tokens = tuple(Token(number, b"x") for number in range(TOKENS))
    return Trace(RunInfo("llama"), (tokens,), made, values, {})


def write(path: Path, noise: float, records: int = RECORDS) -> None:
    """The same as a file."""
    write_trace(large_trace(noise, records), path)


def main(results: Results, rounds: int = ROUNDS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{side}.npz")) for side in "ab"]
        for path, noise in zip(paths, (0.0, 1e-6), strict=True):
            write(Path(path), noise)
        taken = [[float(run([sys.executable, "-c", code, *paths])) for code in (OURS, NUMPY)] for _ in range(rounds)]
    size = RECORDS * TOKENS * WIDTH * 4 / 1e9
    results.begin("large", f"two traces of {size:.1f} GB each, CPU time")
    ours, numpy = zip(*taken, strict=True)
    results.add(
        "diff", ratios(ours, numpy), of="numpy's load and abs-max of both", target=TARGET, sizes={"gigabytes": size}
    )


if __name__ == "__main__":
    main(Results())

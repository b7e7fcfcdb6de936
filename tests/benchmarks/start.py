"""How soon a command is there: CPU time of whole processes, beside what they can't do without.

Run it with `python -m tests.benchmarks start`.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.benchmarks.large import write
from tests.benchmarks.results import Results, ratios
from tests.benchmarks.terminal import Terminal
from tests.benchmarks.workers import run

ROUNDS = 9
_TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(*arguments: str) -> float:
    """Of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run([sys.executable, *arguments])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_paint() -> float:
    """CPU time of the screen's process when the prompt is on the terminal."""
    terminal = Terminal([sys.executable, "-m", "tracetui", "run", "llama3-2layer"], 120, 40)
    try:
        terminal.wait_for_output(b"prompt", 60)
        status = Path(f"/proc/{terminal.process}/stat").read_text().rpartition(")")[2].split()
        return (int(status[11]) + int(status[12])) / _TICKS
    finally:
        terminal.close()


def main(results: Results, rounds: int = ROUNDS) -> None:
    results.begin("start", "CPU time of whole processes")
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace.npz")
        write(trace, 0.0, records=20)
        ways: dict[str, Callable[[], float]] = {
            "numpy": partial(processor_seconds, "-c", "import numpy"),
            "textual": partial(processor_seconds, "-c", "import textual.app"),
            "first paint of `run`": first_paint,
            "`models`": partial(processor_seconds, "-m", "tracetui", "models"),
            "`info` of a trace": partial(processor_seconds, "-m", "tracetui", "info", str(trace)),
            "`outline --help`": partial(processor_seconds, "-m", "tracetui", "outline", "--help"),
        }
        warm = {name: way() for name, way in ways.items()}
        taken: dict[str, list[float]] = {name: [] for name in warm}
        for _ in range(rounds):
            for name, way in ways.items():
                taken[name].append(way())
    for name, seconds in taken.items():
        base, target = ("textual", 2.5) if name.startswith("first") else ("numpy", 2.0)
        if name not in ("numpy", "textual"):
            results.add(name, ratios(seconds, taken[base]), of=f"importing {base}", target=target)


if __name__ == "__main__":
    main(Results())

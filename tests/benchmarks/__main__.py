"""`python -m tests.benchmarks [NAME ...]`: speed and memory as ratios, each measured side by side in one run."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import time
from pathlib import Path

from tests.benchmarks.results import Results, show_missed

NAMES = (
    *("hook_path", "capture", "generation", "mixture", "weights", "gguf", "heatmap"),
    *("opening", "large", "export", "start", "screen", "reactions", "growth", "quantised", "ranks"),
)
ONCE = ("plans", "whole")
"""What takes so long that it runs only where it is named."""


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = (*NAMES, *ONCE)
    most = f"of {', '.join(names)}; without one all but {' and '.join(ONCE)}"
    parser.add_argument("name", nargs="*", metavar="NAME", help=most)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows, the machine and the versions there")
    parser.add_argument("--rounds", type=int, metavar="N", help="at most so many rounds of each row")
    arguments = parser.parse_args(words)
    if unknown := [name for name in arguments.name if name not in names]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names)}")
    results = Results()
    for name in arguments.name or NAMES:
        start = time.perf_counter()
        _measure(name, results, arguments.rounds)
        print(f"  ({name} took {time.perf_counter() - start:.0f} s)", file=sys.stderr, flush=True)
        if arguments.json:
            # After each: what ran is there if a later one fails.
            results.write(arguments.json)
    show_missed(results.rows)
    return 0


def _measure(name: str, results: Results, most: int | None) -> None:
    measure = importlib.import_module(f"tests.benchmarks.{name}").main
    rounds = inspect.signature(measure).parameters.get("rounds")
    if rounds is None or most is None:
        measure(results)
    else:
        measure(results, rounds=min(most, rounds.default))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

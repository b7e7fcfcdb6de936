"""`python -m tests.benchmarks [NAME ...]`: speed and memory as ratios, each measured side by side in one run."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tests.benchmarks.results import Results, show_missed

NAMES = (
    *("hook_path", "capture", "generation", "mixture", "weights", "gguf", "plans", "heatmap"),
    *("opening", "large", "export", "start", "screen", "reactions", "growth", "quantised", "ranks"),
)
ONCE = ("whole",)
"""What takes so long that it runs only where it is named."""


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = (*NAMES, *ONCE)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; without one all but the last")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows, the machine and the versions there")
    arguments = parser.parse_args(words)
    if unknown := [name for name in arguments.name if name not in names]:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(names)}")
    results = Results()
    for name in arguments.name or NAMES:
        importlib.import_module(f"tests.benchmarks.{name}").main(results)
        if arguments.json:
            # After each: what ran is there if a later one fails.
            results.write(arguments.json)
    show_missed(results.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

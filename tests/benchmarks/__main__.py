"""`python -m tests.benchmarks [NAME ...]`: speed and memory as ratios, each measured side by side in one run."""

from __future__ import annotations

import importlib
import sys

NAMES = ("hook_path", "capture", "generation", "mixture", "weights", "plans", "heatmap", "opening", "screen")


def main(wanted: list[str]) -> int:
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in wanted or NAMES:
        importlib.import_module(f"tests.benchmarks.{name}").main()
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

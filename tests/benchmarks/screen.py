"""How soon the screen answers: `python -m tests.benchmarks screen`.

A key's answer is timed on a pty from the key to the last byte of what it changed, a still model and a model that makes
its weights. How soon the screen is there is `start`'s.
"""

from __future__ import annotations

import sys
import time
from itertools import cycle, islice

from tests.benchmarks.results import Results
from tests.benchmarks.terminal import Terminal

SIZES = ((80, 24), (120, 40))
KEYS = 60
STILL_MS, RUNNING_MS = 16.0, 33.0


def command(model: str) -> list[str]:
    return [sys.executable, "-m", "tracetui", "run", model]


def answers(model: str, width: int, height: int, until_end: bool) -> list[float]:
    """Seconds to answer each of many steps back and forth, at the end of a run or while it goes on."""
    terminal = Terminal(command(model), width, height)
    try:
        terminal.wait_for(b"embed_tokens", 60)
        terminal.press(b"\r")
        for key in (b"s", b"s", b"s", b"c"):
            terminal.press(key)
        if until_end:
            time.sleep(1.5)
            terminal.press(b"")
        return [terminal.press(key)[0] for key in islice(cycle([b"p", b"s"]), KEYS)]
    finally:
        terminal.close()


def main(results: Results) -> None:
    results.begin("screen", f"from a key to the last byte that it changes, {KEYS} steps")
    for width, height in SIZES:
        for name, model, until_end, target in (
            ("still", "llama-tiny", True, STILL_MS),
            ("making weights", "llama3-2layer", False, RUNNING_MS),
        ):
            taken = sorted(seconds * 1e3 for seconds in answers(model, width, height, until_end))
            results.add(f"{width}×{height}, {name}: median", taken, unit="ms")
            results.add(f"{width}×{height}, {name}: 95 %", [taken[int(len(taken) * 0.95)]], unit="ms", target=target)


if __name__ == "__main__":
    main(Results())

"""How soon the screen is there and answers: `python -m tests.benchmarks screen`.

First paint is a ratio to importing Textual, taken in turn; a key's answer is timed on a pty from the key to
the last byte of what it changed, a still model and a model that makes its weights.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from itertools import cycle, islice

from tests.benchmarks.terminal import Terminal

SIZES = ((80, 24), (120, 40))
ROUNDS = 5
KEYS = 60
STILL_MS, RUNNING_MS = 16.0, 33.0


def command(model: str) -> list[str]:
    return [sys.executable, "-m", "tracetui", "run", model]


def first_paint() -> tuple[list[float], list[float]]:
    """Seconds from the start of the process to the prompt line, and those of importing Textual, in turn."""
    painted, imported = [], []
    for _ in range(ROUNDS):
        terminal = Terminal(command("llama3-2layer"), 120, 40)
        painted.append(terminal.wait_for(b"prompt", 60))
        terminal.close()
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import textual.app"], check=True)
        imported.append(time.perf_counter() - started)
    return painted, imported


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


def main() -> None:
    painted, imported = first_paint()
    ratio = statistics.median(a / b for a, b in zip(painted, imported, strict=True))
    print(f"first paint {statistics.median(painted) * 1e3:.0f} ms, {ratio:.2f} × importing textual.app (target 3)")
    print(f"key to last byte, {KEYS} steps")
    for width, height in SIZES:
        for name, model, until_end, target in (
            ("still", "llama-tiny", True, STILL_MS),
            ("making weights", "llama3-2layer", False, RUNNING_MS),
        ):
            taken = sorted(seconds * 1e3 for seconds in answers(model, width, height, until_end))
            p50, p95 = taken[len(taken) // 2], taken[int(len(taken) * 0.95)]
            times = f"p50 {p50:5.1f} ms  p95 {p95:5.1f} ms"
            print(f"  {width}×{height} {name:>14}: {times} ({p95 / target:.2f} of {target:.0f})")


if __name__ == "__main__":
    main()

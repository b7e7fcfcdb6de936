"""What the screen spends on a key: `python -m tests.benchmarks reactions`, as ratios to a move of the crosshair.

Measured is the processor's time from the command until nothing is left to do, without what an empty wait costs, and how
often the screen was painted. Each command is measured one right after another, and as a hand does it that rests for a
moment before the next: what was read and drawn meanwhile is not counted, as nobody waits for it.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

from tests.benchmarks.results import Results
from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tracetui.ui.widgets.heatmap import Heatmap

SIZE = (120, 40)
ROUNDS = 24
REST = 0.5
"""Seconds in which what the next key probably leads to is read and drawn."""
COMMANDS = {
    "switching a pane": (("pane_tensor", "pane_attention"), 2.0),
    "a step": (("record_before", "into"), 1.5),
    "a layer": (("previous_layer", "next_layer"), 1.5),
}
"""Commands that undo one another, and how many crosshair moves each may cost."""


async def measured(
    it: Driven, works: tuple[Callable[[], object], ...], paints: list[object], rest: float = 0.0
) -> tuple[float, float]:
    """Seconds of the processor and paints that each takes, after a rest of so many seconds."""
    taken, painted = [], []
    for work in islice(cycle(works), ROUNDS):
        if rest:
            await asyncio.sleep(rest)
            await it.settle(rests=False)
        paints.clear()
        start = time.process_time()
        work()
        await it.settle(rests=False)
        taken.append(time.process_time() - start)
        painted.append(len(paints))
    return statistics.median(taken), statistics.median(painted)


async def measure(results: Results) -> None:
    async with driven(size=SIZE, prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        it.screen.action_command("pane_attention")
        await it.settle()
        paints = counted(it)
        heatmap = it.screen.query_one("#heatmap", Heatmap)
        nothing, _ = await measured(it, (lambda: None,), paints)
        moves = tuple(lambda across=across: heatmap.action_move(0, across) for across in (1, -1))
        move, _ = await measured(it, moves, paints)
        results.add("a crosshair move", [(move - nothing) * 1e3], unit="ms")
        for name, (commands, target) in COMMANDS.items():
            works = tuple(lambda command=command: it.screen.action_command(command) for command in commands)
            spent, painted = await measured(it, works, paints)
            ratio = (spent - nothing) / max(move - nothing, 1e-6)
            results.add(name, [ratio], of="a crosshair move", target=target)
            results.add(f"{name}: paints", [painted], target=1)
        for name, (commands, _) in COMMANDS.items():
            works = tuple(lambda command=command: it.screen.action_command(command) for command in commands)
            spent, _ = await measured(it, works, paints, REST)
            results.add(f"{name}, after a rest", [(spent - nothing) / max(move - nothing, 1e-6)], of="a crosshair move")


def counted(it: Driven) -> list[object]:
    """What is painted from now on."""
    paints: list[object] = []
    display = it.app._display

    def noted(screen: Any, renderable: Any) -> None:
        if renderable is not None:
            paints.append(renderable)
        display(screen, renderable)

    it.app._display = noted  # type: ignore[method-assign]
    return paints


def main(results: Results) -> None:
    results.begin("reactions", f"{SIZE[0]}×{SIZE[1]}, {ROUNDS} times each, a model that rests")
    asyncio.run(measure(results))


if __name__ == "__main__":
    main(Results())

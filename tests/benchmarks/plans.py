"""The memory that a run plans against what it takes: every shipped recipe, with its own prompt and with a long one.

Run it with `python -m tests.benchmarks plans`; it takes half an hour and 12 GB of memory.
"""

from __future__ import annotations

from tests.benchmarks.results import Results
from tests.planned_memory import planned_run
from tracetui.recipe.find import shipped_recipes

LONG = ("--random-tokens", "1x2048", "--layers", "1")
"""Of one layer: beside it a long prompt's logits and scores weigh most."""
_MIB = 2**20


def main(results: Results) -> None:
    """One row a recipe, with its own prompt and with a long one."""
    results.begin("plans", "the memory that is planned for against what a run takes")
    for name in sorted(shipped_recipes()):
        for more in ((), LONG):
            run = planned_run(name, *more)
            label = " ".join((name, *more))
            results.add(label, [run.ratio], of="the peak", sizes={"peak_mib": run.peak / _MIB})

"""The memory that a run plans against what it takes: every shipped recipe, with short prompts and long ones.

Run it with `python -m tests.benchmarks plans`; it takes hours on two cores. A run that plans for more than half of what
the machine has free is left out.
"""

from __future__ import annotations

from itertools import product

from tests.benchmarks.results import Results
from tests.planned_memory import planned_run
from tracetui.models.weights.available_memory import available_bytes
from tracetui.recipe.find import shipped_recipes

PROMPTS = ((), ("-p", "hello"), ("--random-tokens", "1x512"), ("--random-tokens", "1x2048"))
KEPT = ((), ("--keep", "stats"))
_MIB = 2**20


def main(results: Results) -> None:
    """One row for each recipe and prompt, with values and with statistics alone."""
    results.begin("plans", "the memory that is planned for against what a run takes")
    for name, prompt, keep in product(sorted(shipped_recipes()), PROMPTS, KEPT):
        label = " ".join((name, *prompt, *keep))
        try:
            run = planned_run(name, *prompt, *keep, most=available_bytes() // 2)
        except RuntimeError as error:
            print(f"  {label}: {str(error).splitlines()[-1][:200]}")
            continue
        results.add(label, [run.ratio], of="the peak", sizes={"peak_mib": run.peak / _MIB})

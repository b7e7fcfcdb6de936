"""About what a run of each shipped model takes with its own prompt, known before anything is computed.

Measured once, with random weights and nothing else to do, on two processor cores. A test holds the memory against the
plan that a run makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COLUMNS = f"{'memory':>8}{'time':>9}"


@dataclass(frozen=True, slots=True)
class Cost:
    memory: float
    """GiB of a run's peak at least, the program included: where there is more, weights stay for the next prompt."""
    time: str
    """Of the whole run, start included."""

    @property
    def columns(self) -> str:
        """The same below COLUMNS."""
        return f"{self.memory:>4.1f} GiB{self.time:>9}"

    def __str__(self) -> str:
        return f"peak from {self.memory:.1f} GiB, {self.time}"


COSTS: Mapping[str, Cost] = {
    "llama-tiny": Cost(0.4, "3 s"),
    "qwen2.5-1.5b": Cost(0.9, "20 s"),
    "llama3-2layer": Cost(1.4, "10 s"),
    "qwen2-moe-57b-a14b": Cost(1.4, "15 s"),
    "deepseek-v3-ref": Cost(2.2, "25 s"),
    "deepseek-v3": Cost(2.2, "30 s"),
    "deepseek-v3-mini": Cost(3.0, "minutes"),
}

"""What the quantisation screen measures: something that runs in the background and can be given up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tracetui.analysis.quantised.damage import QuantisationReport
from tracetui.errors import Cancelled, TracetuiError

Tell = Callable[[str, int, int], None]


class Measuring(Protocol):
    """One measurement."""

    def run(self, tell: Tell) -> QuantisationReport:
        """Takes long; tells what is done now, how many steps are done, and how many there are."""

    def cancel(self) -> None:
        """Have it end as soon as it can; from any thread."""


@dataclass(frozen=True, eq=False, slots=True)
class Quantised:
    """Two models to measure, and what is known before."""

    names: tuple[str, str]
    """Of the original and of the quantised one."""
    prepare: Callable[[], Measuring]
    """Finds both models, off the screen's thread. Raises InputError where one can't be found."""
    before: tuple[str, ...] = ()
    """What is said before it is measured; then that waits for the user."""


def measured(quantised: Quantised, made: Callable[[Measuring], None], tell: Tell) -> QuantisationReport | str:
    """The report, or in words why there is none. made: called with what can be given up."""
    try:
        measurement = quantised.prepare()
        made(measurement)
        return measurement.run(tell)
    except Cancelled:
        return "given up"
    except (TracetuiError, OSError, MemoryError, ImportError) as error:
        return str(error) or type(error).__name__

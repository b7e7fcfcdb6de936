"""The diff's long work, off the screen's thread: the report with its progress, and the rerun for noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from textual.worker import get_current_worker

from tracetui.analysis.diff.report import report
from tracetui.analysis.diff.rounding.noise import NoiseReport, measure_noise
from tracetui.analysis.diff.rounding.tolerance import Limits
from tracetui.analysis.diff.survey import Survey, survey
from tracetui.analysis.diff.tree import Node, tree_of, ways_of
from tracetui.analysis.mapping.rules import Rules
from tracetui.errors import TracetuiError
from tracetui.recording.trace import Trace
from tracetui.ui.quantised_screen.measuring import Measuring

NOTICE_SECONDS = 0.1
Rerun = Callable[[Callable[[], None]], tuple[str, Trace]]
"""Runs one side again in float64 and says which, `A` or `B`; calls what it gets meanwhile, which may raise to leave."""


@dataclass(frozen=True, eq=False, slots=True)
class Comparing:
    """Two traces to compare, and how."""

    a: Trace
    b: Trace
    names: tuple[str, str]
    """What the screen calls them: file names, or the model that runs."""
    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    fuzzy: bool = False
    rerun: Rerun | None = None
    """None where no model is at hand."""
    noise: bool = False
    """Whether that is wanted from the start."""
    measure: Callable[[str], Measuring] | None = None
    """What measures what quantising did, by which side is the original, `A` or `B`; None where no model is at hand."""
    overview: bool = False
    """Whether all of it in words is shown first, and not the first divergence."""


@dataclass(frozen=True, eq=False, slots=True)
class Surveyed:
    """A report with its tree."""

    survey: Survey
    top: Sequence[Node]
    ways: Mapping[str, tuple[str, ...]]
    """Of every site, the paths of the nodes down to it."""
    named: bool
    """Whether B calls some sites otherwise than A."""


class LeftError(TracetuiError):
    """The user left while there was work."""


def surveyed(asked: Comparing, tell: Callable[[int, int], None], left: Event) -> Surveyed:
    """The whole report, told of some ten times a second. Raises LeftError once `left` is set."""
    worker, next_notice = get_current_worker(), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal next_notice
        if left.is_set() or worker.is_cancelled:
            raise LeftError
        if (now := time.monotonic()) >= next_notice:
            next_notice = now + NOTICE_SECONDS
            tell(done, total)

    found = survey(report(asked.a, asked.b, asked.rules, asked.limits, asked.fuzzy, progress))
    top = tree_of(found)
    named = any(pair.b.record.key != pair.site for pair in found.report.comparison.alignment.pairs)
    return Surveyed(found, top, dict(ways_of(top)), named)


def noise_of(asked: Comparing, found: Survey, left: Event) -> NoiseReport:
    """The report's differences in units of rounding noise. Raises LeftError, and what running the model raises."""
    assert asked.rerun

    worker = get_current_worker()

    def look_out(done: int, total: int) -> None:
        if left.is_set() or worker.is_cancelled:
            raise LeftError

    side, exact = asked.rerun(lambda: look_out(0, 0))
    return measure_noise(found.report, side, exact, look_out)

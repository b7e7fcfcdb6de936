"""Everything that is said of two traces: the comparison, what fed its first divergence, what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.analysis.diff.feeds import Feeds, feeds
from tracetui.analysis.diff.hints import hints
from tracetui.analysis.diff.hints.scene import Hint
from tracetui.analysis.diff.result import Comparison, SiteDiff


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison, and what was made of it."""

    comparison: Comparison
    first: SiteDiff | None
    """The first divergence."""
    feeds: Feeds | None
    hints: tuple[Hint, ...] = ()


def report(comparison: Comparison) -> Report:
    """Look into the first divergence."""
    first = comparison.first
    if first is None:
        return Report(comparison, None, None)
    fed = feeds(comparison, first)
    return Report(comparison, first, fed, hints(comparison, first, fed))

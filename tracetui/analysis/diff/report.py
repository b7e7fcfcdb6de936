"""Everything that is said of two traces: the comparison, what fed its first divergence, what it looks like."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.analysis.diff.align import align
from tracetui.analysis.diff.compare import compare
from tracetui.analysis.diff.feeds import Feeds, feeds
from tracetui.analysis.diff.hints import hints
from tracetui.analysis.diff.hints.scene import Hint
from tracetui.analysis.diff.proposals import proposed, with_proposals
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.routed import chooses
from tracetui.analysis.diff.routing import Cause, Flip, flips
from tracetui.analysis.diff.tolerance import Limits
from tracetui.analysis.mapping.fuzzy import Proposal
from tracetui.analysis.mapping.rules import Rules
from tracetui.trace.trace import Trace

_MADE = 4.0
"""How many times further apart an output must be than what feeds it for the fault to lie there."""


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison, and what was made of it."""

    comparison: Comparison
    first: SiteDiff | None
    """The first divergence."""
    feeds: Feeds | None
    hints: tuple[Hint, ...] = ()
    flips: tuple[Flip, ...] = ()
    """Tokens that chose other experts."""
    proposals: tuple[Proposal, ...] = ()
    """Names of what one side alone has that may mean the same."""
    fuzzy: bool = False
    """Whether they were taken for the same."""

    @property
    def at_fault(self) -> bool:
        """Whether the first divergence was made where it is: all that feeds it agrees far better, and it is no tie."""
        return self.feeds is not None and self.feeds.agree and not self.tied and not self.carried

    @property
    def carried(self) -> bool:
        """Whether what feeds the first divergence is almost as far apart, within its tolerance: rounding that grew."""
        if self.first is None or self.first.distance is None or self.feeds is None:
            return False
        fed = max((fed.distance.relative for fed in self.feeds.found if fed.distance is not None), default=0.0)
        return self.feeds.agree and not self.first.distance.far and self.first.distance.relative < _MADE * fed

    @property
    def tied(self) -> bool:
        """Whether the first divergence is a choice of experts in which rounding flipped ties, and nothing else."""
        if self.first is None or not chooses(self.first.site):
            return False
        own = [flip for flip in self.flips if flip.layer == self.first.pair.record.layer]
        return bool(own) and all(flip.cause is Cause.TIE for flip in own)


def report(a: Trace, b: Trace, rules: Rules | None = None, limits: Limits | None = None, fuzzy: bool = False) -> Report:
    """Compare two traces and look into the first divergence; `fuzzy` takes proposed names for the same."""
    alignment = align(a, b, rules or Rules())
    proposals = proposed(alignment)
    if fuzzy:
        alignment = with_proposals(alignment, proposals, a, b)
    comparison = compare(a, b, alignment, limits)
    first = comparison.first
    if first is None:
        return Report(comparison, None, None, flips=flips(comparison), proposals=proposals, fuzzy=fuzzy)
    fed = feeds(comparison, first)
    found = hints(comparison, first, fed)
    return Report(comparison, first, fed, found, flips(comparison), proposals, fuzzy)

"""Everything that is said of two traces: the comparison, what fed its first divergence, what it looks like."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracetui.analysis.diff.alignment.align import align
from tracetui.analysis.diff.alignment.naming.unfit import unfit
from tracetui.analysis.diff.alignment.placed import placed
from tracetui.analysis.diff.alignment.positions import common_positions
from tracetui.analysis.diff.alignment.proposals import proposed, with_proposals
from tracetui.analysis.diff.alignment.scans import without_scans
from tracetui.analysis.diff.alignment.stacked_experts import without_stacks
from tracetui.analysis.diff.alignment.upright import upright
from tracetui.analysis.diff.alignment.wrong_pairs import WrongPair, without_wrong_pairs
from tracetui.analysis.diff.compare import Tell, compare, untold
from tracetui.analysis.diff.effects import NextTokens, next_tokens_of
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.finding import Finding, find
from tracetui.analysis.diff.hints import hints
from tracetui.analysis.diff.hints.scene import Hint
from tracetui.analysis.diff.printed import is_log, log_words
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.diff.rounding.beyond import beyond
from tracetui.analysis.diff.rounding.explained import with_explained
from tracetui.analysis.diff.rounding.jumps import with_jumps
from tracetui.analysis.diff.rounding.number_bits import NarrowNumbers, with_own_dtypes
from tracetui.analysis.diff.rounding.tolerance import Limits
from tracetui.analysis.diff.routing.flips import Flip, flips
from tracetui.analysis.mapping.fuzzy import Proposal
from tracetui.analysis.mapping.rules import Rules
from tracetui.analysis.stated_statistics import refuse_other_values
from tracetui.recording.trace import Trace


@dataclass(frozen=True, slots=True)
class Report:
    """A comparison, and what was made of it."""

    comparison: Comparison
    finding: Finding | None
    """The first divergence."""
    flips: tuple[Flip, ...] = ()
    """Tokens that chose other experts."""
    proposals: tuple[Proposal, ...] = ()
    """Names of what one side alone has that may mean the same."""
    fuzzy: bool = False
    """Whether they were taken for the same."""
    predicted: tuple[NextTokens, ...] = ()
    """The next tokens on both sides, row by row."""
    wrong_pairs: tuple[WrongPair, ...] = ()
    """What was taken for the same by its name, and isn't: left out of the comparison."""
    positions: tuple[str, ...] = ()
    """Which rows, positions and passes stand beside each other, where they aren't the same ones."""
    narrow: tuple[NarrowNumbers | None, NarrowNumbers | None] = (None, None)
    """What A's and B's numbers are, where a file kept them in a wider dtype."""
    beyond: Finding | None = None
    """Where llama.cpp's rounding made the first divergence: the first that it is too small for, the others taken for
    the same."""
    judged_until: str = ""
    """The site from which on that wasn't looked for; empty where all was."""
    unfit: tuple[str, ...] = ()
    """What is wrong with the tables of a user's map that fit no tensor."""

    @property
    def first(self) -> SiteDiff | None:
        """The first divergence's site."""
        return self.finding.site if self.finding else None

    @property
    def feeds(self) -> Feeds | None:
        """What fed the first divergence."""
        return self.finding.feeds if self.finding else None

    @property
    def hints(self) -> tuple[Hint, ...]:
        """What the first divergence looks like."""
        return self.finding.hints if self.finding else ()

    @property
    def at_fault(self) -> bool:
        """Whether the first divergence was made where it is."""
        return self.finding is not None and self.finding.at_fault

    @property
    def carried(self) -> bool:
        """Whether the first divergence is rounding that grew."""
        return self.finding is not None and self.finding.carried

    @property
    def tied(self) -> bool:
        """Whether the first divergence is a choice of experts in which rounding flipped ties, and nothing else."""
        return self.finding is not None and self.finding.tied


def report(
    a: Trace,
    b: Trace,
    rules: Rules | None = None,
    limits: Limits | None = None,
    fuzzy: bool = False,
    tell: Tell = untold,
) -> Report:
    """Compare two traces and look into the first divergence; `fuzzy` takes proposed names for the same.

    `tell` hears how many sites of all are compared, and may raise to leave it. Raises InputError where the first
    divergence is in values that a file's own statistics contradict.
    """
    recorded = (a, b)
    (a, narrow_a), (b, narrow_b) = with_own_dtypes(a), with_own_dtypes(b)
    (a, b), words = without_scans(a, b)
    (a, b), stacks = without_stacks(a, b)
    common = common_positions(a, b)
    if common is not None:
        a, b = placed(common, a, b)
    alignment = align(a, b, rules or Rules())
    useless = () if rules is None else unfit(rules, alignment, a, b)
    proposals = proposed(alignment, a, b)
    if fuzzy:
        alignment = with_proposals(alignment, proposals, a, b)
    comparison, wrong = without_wrong_pairs(compare(a, b, upright(alignment, a, b), limits, tell))
    comparison = with_explained(with_jumps(comparison))
    flipped, first = flips(comparison), comparison.first
    if first is not None:
        for side, trace, named in zip("AB", recorded, (first.pair.a, first.pair.b), strict=True):
            refuse_other_values(side, trace, named.record.key)
    finding = None if first is None else find(comparison, first, flipped)
    positions = (*log_words(a, b), *words, *stacks, *(common.told if common else ()))
    predicted = next_tokens_of(a, b)
    further, until = _beyond(comparison, finding, flipped)
    narrow = (narrow_a, narrow_b)
    return Report(
        comparison, finding, flipped, proposals, fuzzy, predicted, wrong, positions, narrow, further, until, useless
    )


def _beyond(comparison: Comparison, finding: Finding | None, flipped: tuple[Flip, ...]) -> tuple[Finding | None, str]:
    """What is made of the first site beyond llama.cpp's rounding, and how far that was looked for."""
    if finding is None or finding.rounded is None or any(map(is_log, (comparison.a, comparison.b))):
        return None, ""
    further = beyond(comparison, finding.rounded)
    if further.site is None:
        return None, further.until
    made = find(further.comparison, further.site, flipped)
    if made.brought:
        # By how much longer its rows are than its inputs'; what its matrix may make of rounding is known better.
        made = replace(made, brought=False, hints=hints(further.comparison, made.site, made.feeds))
    return made, further.until

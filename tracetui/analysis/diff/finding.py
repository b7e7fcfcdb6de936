"""What is made of one tensor that differs: what fed it, what it looks like, and whether the fault lies there."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tracetui.analysis.diff.edited import KnownEdit, known_edit
from tracetui.analysis.diff.feeds import Feeds, Sites, feeds
from tracetui.analysis.diff.hints import OF_WEIGHTS, hints
from tracetui.analysis.diff.hints.attention.anew import follow_from_inputs
from tracetui.analysis.diff.hints.attention.hidden_rows import NAME as HIDDEN_ROWS
from tracetui.analysis.diff.hints.scene import Hint, Scene
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.brought import is_brought, rests_on_rounding
from tracetui.analysis.diff.rounding.rounded_products import RoundedProduct, rounded_product
from tracetui.analysis.diff.routing.flips import Cause, Flip
from tracetui.analysis.diff.routing.routed import chooses
from tracetui.analysis.diff.routing.unseen import UnseenChoice, unseen_choice
from tracetui.analysis.diff.weights import WeightPair
from tracetui.recording.record import plain_site

_COARSE = 1e-3
"""From what rtol on rounding of queries and keys may turn a softmax."""
_ANOTHER = 0.5
"""How far from the other side's a weight may be that stands for the same one."""
MADE = 4.0
"""How many times further apart an output must be than what feeds it for the fault to lie there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One compared site and its surroundings."""

    site: SiteDiff
    feeds: Feeds
    hints: tuple[Hint, ...] = ()
    flips: tuple[Flip, ...] = ()
    """Tokens that chose other experts in this site's layer."""
    edit: KnownEdit | None = None
    """What changed it on purpose."""
    brought: bool = False
    """Whether what rounding makes of its inputs may be all that it is off by."""
    unseen: UnseenChoice | None = None
    """A choice of experts that one side alone recorded, and that may have been another one on the other side."""
    weights: tuple[WeightPair, ...] = ()
    """Weights of its own module, or of the code that made it, that aren't the same on both sides."""
    rounded: RoundedProduct | None = None
    """A product whose inputs llama.cpp rounded on one side, if that makes the difference."""

    @property
    def at_fault(self) -> bool:
        """Whether the difference was made here: all that feeds it agrees far better, and it is no tie and no edit.

        Other weights are no fault of what computes with them.
        """
        known = self.tied or self.carried or self.unseen or self.edit or self.weights or self.rounded
        return self.feeds.agree and not known and all(hint.name != HIDDEN_ROWS for hint in self.hints)

    @property
    def carried(self) -> bool:
        """Whether what feeds it is almost as far apart, within its tolerance: rounding that grew."""
        if self.site.distance is None or self.site.jump or self.weights or self.rounded:
            return False
        if self.feeds.agree and (self.brought or self.undecided):
            return True
        fed = max((fed.distance.furthest for fed in self.feeds.found if fed.distance is not None), default=0.0)
        return self.feeds.agree and not self.site.distance.far and self.site.distance.furthest < MADE * fed

    @property
    def undecided(self) -> bool:
        """Whether it holds whole numbers made of what isn't bit for bit the same: rounding may have changed them."""
        return rests_on_rounding(self.site, self.feeds)

    @property
    def tied(self) -> bool:
        """Whether it is a choice of experts in which rounding flipped ties, or what follows from one, and no more."""
        if not self.flips or any(flip.cause is not Cause.TIE for flip in self.flips):
            return False
        changed = [fed for fed in self.feeds.found if fed.outcome is Outcome.DIFFERENT]
        return chooses(self.site.site) or (bool(changed) and all(chooses(fed.site) for fed in changed))


def _is_rounding(comparison: Comparison, site: SiteDiff, fed: Feeds) -> bool:
    """Whether what rounding makes of a site's inputs may be all that it is off by."""
    coarse = site.tolerance is not None and site.tolerance.rtol >= _COARSE
    return is_brought(comparison, site, fed) or (coarse and follow_from_inputs(Scene(comparison, site, fed)))


def find(comparison: Comparison, site: SiteDiff, flips: tuple[Flip, ...], sites: Sites | None = None) -> Finding:
    """Examine a site, and search for known faults if it differs. `flips` are those of the whole traces."""
    fed = feeds(comparison, site, sites)
    edit = known_edit(comparison, site, fed)
    own = tuple(flip for flip in flips if flip.layer == site.pair.record.layer)
    if site.outcome is not Outcome.DIFFERENT or edit is not None:
        return Finding(site, fed, (), own, edit)
    weights = comparison.weights.of(*filter(None, (plain_site(site.site), fed.code))) if fed.agree else ()
    if weights and all(pair.relative < _ANOTHER for pair in weights):
        # Close to the other's as they are, they are neither turned nor permuted; rows or a scale may be others.
        return Finding(site, fed, hints(comparison, site, fed, OF_WEIGHTS), own, weights=weights)
    if (rounded := rounded_product(comparison, site, fed)) is not None:
        return Finding(site, fed, (), own, rounded=rounded)
    brought = fed.agree and not site.jump and not weights and _is_rounding(comparison, site, fed)
    unseen = None if brought else unseen_choice(comparison, site, fed)
    bare = Finding(site, fed, (), own, None, brought, unseen, weights)
    # What differs by rounding alone may look like a fault that is as small.
    return bare if brought or unseen or bare.tied else replace(bare, hints=hints(comparison, site, fed))

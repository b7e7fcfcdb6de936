"""Right pairs beyond the tolerance: all that differs is explained by rounding of what feeds it, site by site.

Where terms cancel, or one channel is huge, a few rows are further apart than any tolerance can let pass that is to
find faults. If each tensor that differs is off by no more than its inputs' rounding makes, nothing speaks for a fault.
"""

from __future__ import annotations

from dataclasses import replace

from tracetui.analysis.diff.feeds import Feeds, feeds, sites_by_name
from tracetui.analysis.diff.hints.attention.anew import follow_from_inputs
from tracetui.analysis.diff.hints.scene import Scene
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.brought import all_brought

_BEHIND_HEADS = (".self_attn", ".self_attn.o_proj")
"""Places that heads go into, which needn't be recorded."""
_MOST = 300
"""Sites of one comparison that are looked into."""


def with_explained(comparison: Comparison) -> Comparison:
    """The comparison with all differences marked as explained, if rounding explains every one of them; else unchanged.

    One site that nothing explains, or that holds whole numbers, may be the trace of a fault in any before it.
    """
    if not 0 < len(comparison.different) <= _MOST or comparison.preface.tokens:
        return comparison
    by_name = sites_by_name(comparison)
    for site in comparison.different:
        fed = feeds(comparison, site, by_name)
        if site.jump or not fed.agree or not _is_explained(comparison, site, fed):
            return comparison
        by_name[site.site] = replace(site, outcome=Outcome.SAME, explained=True)
    return replace(comparison, sites=tuple(by_name[site.site] for site in comparison.sites))


def _is_explained(comparison: Comparison, site: SiteDiff, fed: Feeds) -> bool:
    """Whether rounding of its inputs explains a site; heads mix tokens, so that they have to be made anew."""
    scene = Scene(comparison, site, fed)
    if scene.leaf == ":heads":
        return follow_from_inputs(scene)
    if fed.gap and scene.place in _BEHIND_HEADS:
        return False
    return all_brought(comparison, site, fed)

"""What lies beyond llama.cpp's rounding of its products' inputs: the first site that is too far apart for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tracetui.analysis.diff.feeds import Feeds, feeds, sites_by_name
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.block_rounding import input_roundings
from tracetui.analysis.diff.rounding.brought import is_brought, is_whole
from tracetui.analysis.diff.rounding.jumps import is_everywhere
from tracetui.analysis.diff.rounding.rounded_products import LinearProduct, RoundedProduct, product_of

_TIMES, _MIXED_TIMES = 4.0, 6.0
"""How many times as far apart as what feeds it a site may be, and one of attention, which mixes tokens: a real model's
are up to 1.9 and 3.6."""
_MIXED = ("scores", "masked", "probs", "heads")
_PRODUCT_TIMES = 4.0
"""How many times as long as expected a product's difference may be for one token: real models' are up to 1.7."""
_FACTOR, _CARRIED = 0.9, 0.3
"""What share of a difference one factor makes where it is no rounding, and how much of that an input has already."""
_FEWEST = 64
"""Elements from which on rounding doesn't look like one factor by chance."""
_MOST_NUMEL = 1 << 22
"""Of a product that is judged token by token."""


@dataclass(frozen=True, eq=False, slots=True)
class Beyond:
    """A comparison in which what llama.cpp's rounding explains counts as the same."""

    comparison: Comparison
    site: SiteDiff | None
    """The first that it doesn't explain; None if it explains all that was looked at."""
    until: str = ""
    """The site from which on nothing was looked at: whole numbers differ there, as chosen experts do. Empty for all."""


def beyond(comparison: Comparison, first: RoundedProduct) -> Beyond:
    """Look for the first site that rounding of products' inputs, grown over the layers, is too small for."""
    by_name = sites_by_name(comparison)
    search = _RoundingSearch(comparison, first)
    unexplained, until = None, ""
    for site in comparison.different:
        fed = feeds(comparison, site, by_name)
        if is_whole(site):
            until = site.site
            break
        if not search.explains(site, fed):
            unexplained = site
            break
        by_name[site.site] = replace(site, outcome=Outcome.SAME, explained=True)
    made = replace(comparison, sites=tuple(by_name[site.site] for site in comparison.sites))
    return Beyond(made, unexplained, until)


class _RoundingSearch:
    def __init__(self, comparison: Comparison, first: RoundedProduct) -> None:
        self._comparison = comparison
        self._rounding = max(first.apart, first.expected)

    def explains(self, site: SiteDiff, fed: Feeds) -> bool:
        """Whether a site is no further apart than its inputs and its own products' rounding let expect."""
        distance = site.distance
        if distance is None or distance.by_statistics or fed.missing or not fed.found:
            return True
        if site.jump or distance.unlike or _is_factor(self._comparison, site, fed):
            return False
        if site.pair.record.numel <= _MOST_NUMEL and (product := product_of(self._comparison, site, fed)):
            return _is_long_enough(product)
        entering = [each.distance.furthest for each in fed.found if each.distance is not None]
        # Where something lies between, it may have products of its own.
        own = self._rounding if fed.gap or fed.code else 0.0
        times = _MIXED_TIMES if site.pair.record.role in _MIXED else _TIMES
        if distance.furthest <= times * max(own, *entering, 0.0):
            return True
        return is_brought(self._comparison, site, fed)


def _is_long_enough(product: LinearProduct) -> bool:
    """Whether rounding of the inputs, and what they are apart already, makes a difference as long at every token."""
    lengths = np.linalg.norm(product.output.a - product.output.b, axis=1)
    ways = [product.lengths(product.rounded_off(way)) for way in input_roundings(product.weight)]
    ways = ways or [product.lengths(product.inputs.a - product.inputs.b)]
    return any(bool((lengths <= _PRODUCT_TIMES * expected).all()) for expected in ways)


def _is_factor(comparison: Comparison, site: SiteDiff, fed: Feeds) -> bool:
    """Whether all of a tensor is off by one factor that none of its inputs has: rounding has all directions."""
    distance = site.distance
    if distance is None or distance.numel < _FEWEST:
        return False
    off = abs(distance.factor - 1)
    entering = [abs(each.distance.factor - 1) for each in fed.found if each.distance is not None]
    alone = off > _FACTOR * distance.relative and all(own < _CARRIED * off for own in entering)
    return alone and is_everywhere(comparison, site, distance.factor)

"""Differences within a coarse dtype's tolerance that no rounding of what feeds them explains.

Rounding grows from operation to operation: where all inputs of a tensor are 2 % off, it is so too, or a row in which
terms cancel is more. A row that is 10 % off is a fault, though bfloat16's tolerance over many layers would let it pass.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from tracetui.analysis.diff.arrays import Numbers, both
from tracetui.analysis.diff.distances.distance import Distance
from tracetui.analysis.diff.feeds import Feeds, feeds, sites_by_name
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.brought import is_brought

_COARSE = 1e-3
"""From what rtol on rounding alone is large enough to hide a fault."""
_TIMES = 3.0
"""How many times as far apart as its inputs a tensor's worst row has to be."""
_OWN = 0.25
"""What rounding of the tensor itself adds to that of its inputs, in units of rtol."""
_FACTOR = 0.6
"""From what factor on, in units of rtol, one for all elements is no rounding of the tensor."""
_EXPLAINED = 0.9
"""The share of a difference that one factor leaves nothing over of; rounding has all directions."""
_CARRIED = 0.3
"""The share of that factor from which on an input has it already."""
_HALF = 0.5
"""The share of the factor from which on a row or a channel has it."""
_FEWEST = 64
"""Elements from which on rounding doesn't look like one factor by chance."""


def with_jumps(comparison: Comparison) -> Comparison:
    """The comparison in which tensors that jump out of what their inputs explain differ."""
    if not any(_is_suspect(site) for site in comparison.sites):
        return comparison
    by_name = sites_by_name(comparison)
    sites = []
    for site in comparison.sites:
        jump = _jump(comparison, site, feeds(comparison, site, by_name)) if _is_suspect(site) else ""
        sites.append(replace(site, outcome=Outcome.DIFFERENT, jump=jump) if jump else site)
    return replace(comparison, sites=tuple(sites)) if any(site.jump for site in sites) else comparison


def _is_suspect(site: SiteDiff) -> bool:
    """Whether it is far enough apart for either kind of jump; only what is within its tolerance is asked."""
    distance, tolerance = site.distance, site.tolerance
    if site.outcome is not Outcome.SAME or distance is None or tolerance is None or distance.by_statistics:
        return False
    # A tolerance that the user gave is the user's word.
    if tolerance.slack <= 1 or tolerance.rtol < _COARSE:
        return False
    row = distance.row is not None and distance.row.judged > _TIMES * _OWN * tolerance.rtol
    return row or _is_factor(distance, tolerance.rtol)


def _is_factor(distance: Distance, rtol: float) -> bool:
    """Whether one factor explains what the tensor is off by."""
    off = abs(distance.factor - 1)
    return distance.numel >= _FEWEST and off > _FACTOR * rtol and off > _EXPLAINED * distance.relative


def is_everywhere(comparison: Comparison, site: SiteDiff, factor: float) -> bool:
    """Whether at least half of the rows and half of the channels have the factor, and there are several rows.

    One token far longer than all others makes it alone, and so does one huge channel.
    """
    output = both(comparison, site)
    if output is None or output.a.ndim < 2:
        return True
    rows = output.rows()
    return len(rows.b) > 1 and all(_have(factor, rows.a, rows.b, sums) for sums in ("ij,ij->i", "ij,ij->j"))


def _have(factor: float, a: Numbers, b: Numbers, sums: str) -> bool:
    """Whether half of the rows, or of the channels, of A are B's times the factor, sooner than B's."""
    dots, squares = (np.einsum(sums, side, b) for side in (a, b))
    own = dots[squares > 0] / squares[squares > 0]
    return bool(own.size and abs(float(np.median(own)) - 1) > _HALF * abs(factor - 1))


def _jump(comparison: Comparison, site: SiteDiff, fed: Feeds) -> str:
    """In words; empty where its inputs may explain what it is off by."""
    distance, tolerance = site.distance, site.tolerance
    if distance is None or tolerance is None or not (fed.agree and fed.direct):
        return ""
    entering = [found.distance for found in fed.found if found.distance is not None]
    if any(found.by_statistics for found in entering) or not entering:
        return ""
    if _is_factor(distance, tolerance.rtol):
        own = abs(distance.factor - 1)
        carried = any(abs(found.factor - 1) >= _CARRIED * own for found in entering)
        if not carried and is_everywhere(comparison, site, distance.factor):
            return f"A is {distance.factor:.4g} times B, which rounding isn't, and its inputs are not"
    apart = max(found.furthest for found in entering)
    row = distance.row
    if row is None or math.isnan(apart) or row.judged <= _TIMES * (apart + _OWN * tolerance.rtol):
        return ""
    if is_brought(comparison, site, fed):
        return ""
    return f"{distance.furthest / max(apart, _OWN * tolerance.rtol):.2g} times as far apart as its inputs"

"""Rounding or a fault: each difference as a multiple of the rounding noise at its site.

One side is run again in float64 from the very weights that it had; how far it is from that at a site is the noise
there, grown over everything before. A site is the suspect where its multiple is far above those of all that feeds
it: what only carries a difference on has about the multiple of its inputs, since it does the same to noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from tracetui.analysis.diff.compare import Tell, compare, untold
from tracetui.analysis.diff.edited import KnownEdit, known_edit
from tracetui.analysis.diff.feeds import Feeds, Sites, feeds, sites_by_name
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Comparison, Outcome, SiteDiff
from tracetui.analysis.diff.rounding.rounded_products import rounded_product
from tracetui.recording.trace import Trace

FAR = 8.0
"""How many times rounding noise, and how many times its inputs' multiple, a suspect is off."""
_ROUNDINGS = {
    name: 0.4 * 2.0**-bits for name, bits in (("float64", 53), ("float32", 24), ("float16", 11), ("bfloat16", 8))
}
"""The root mean square of the relative error of rounding one number, by dtype: 0.4 of the largest."""


class Verdict(Enum):
    WITHIN = "within the rounding noise"
    CARRIED = "carried on"
    SUSPECT = "made here"
    EDITED = "an edit changed it"
    ROUNDED = "llama.cpp rounds its inputs"
    UNTOLD = "what feeds it was not compared"


@dataclass(frozen=True, slots=True)
class SiteNoise:
    """One site's difference, measured against rounding."""

    site: SiteDiff
    rounding: float
    """The noise there, relative to the site's norm; at least one rounding of the coarser dtype."""
    times: float
    """The difference as a multiple of it; infinite where one side alone has NaN or infinities."""
    fed: float | None
    """The largest multiple of what feeds it; 0 where no tensor does, None where that isn't known."""
    verdict: Verdict
    feeds: Feeds
    """Whether anything lies between these and the site tells whether it is blamed itself."""
    edit: KnownEdit | None = None
    """What changed it on purpose."""


@dataclass(frozen=True, eq=False, slots=True)
class NoiseReport:
    """What rounding explains, and what it doesn't."""

    side: str
    """`A` or `B`: whose model was run again."""
    sites: tuple[SiteNoise, ...]
    """In order of execution, as far as both runs have them."""
    later: int = 0
    """Compared sites of passes after the prompt's, which are not run again."""

    @property
    def suspects(self) -> tuple[SiteNoise, ...]:
        """Where a difference is made that no rounding explains."""
        return tuple(found for found in self.sites if found.verdict is Verdict.SUSPECT)

    def of(self, site: str) -> SiteNoise | None:
        return next((found for found in self.sites if found.site.site == site), None)


def measure_noise(report: Report, side: str, exact: Trace, tell: Tell = untold) -> NoiseReport:
    """The report's differences against the rounding noise of one side, of which `exact` is the float64 run."""
    comparison = report.comparison
    own = comparison.a if side == "A" else comparison.b
    noise = {found.pair.a.record.index: found for found in compare(own, exact, tell=tell).sites}
    multiples: dict[str, tuple[float, float]] = {}
    coarser = coarse = 0.0
    for site in comparison.sites:
        record = site.pair.a.record if side == "A" else site.pair.b.record
        # What is computed in float32 from bfloat16 has that one's noise: the coarsest so far counts.
        coarse = max(coarse, _ROUNDINGS.get(record.dtype, 0.0))
        coarser = max(coarser, *(_ROUNDINGS.get(named.record.dtype, 0.0) for named in (site.pair.a, site.pair.b)))
        measured = noise.get(record.index)
        if (
            measured is not None
            and record.dtype in _ROUNDINGS
            and (found := _multiple(site, measured, coarser, coarse))
        ):
            multiples[site.site] = found
    sites = sites_by_name(comparison)
    judged = tuple(_judged(comparison, sites[name], sites, multiples) for name in multiples)
    later = sum(site.distance is not None and site.pair.a.record.pass_ > 0 for site in comparison.sites)
    return NoiseReport(side, judged, later)


def _multiple(site: SiteDiff, noise: SiteDiff, coarser: float, coarse: float) -> tuple[float, float] | None:
    """The rounding noise, and the difference as a multiple of it; None for sites that were not measured.

    `coarser` is the rounding of both sides' coarsest dtype so far, `coarse` that of the side that was run again.
    """
    if site.distance is None or noise.distance is None or site.distance.by_statistics or noise.distance.by_statistics:
        return None
    # Noise grows in proportion to the unit of rounding: where the other side is coarser, so much the more.
    rounding = max(noise.distance.furthest * coarser / coarse, coarser)
    apart = math.inf if math.isnan(site.distance.furthest) or site.distance.unlike else site.distance.furthest
    return rounding, apart / rounding if math.isfinite(rounding) else 0.0


def _judged(
    comparison: Comparison, site: SiteDiff, sites: Sites, multiples: dict[str, tuple[float, float]]
) -> SiteNoise:
    rounding, times = multiples[site.site]
    found = feeds(comparison, site, sites)
    fed = _fed(found, multiples)
    edit = known_edit(comparison, site, found) if times >= FAR else None
    if times < FAR:
        verdict = Verdict.WITHIN
    elif fed is None:
        verdict = Verdict.UNTOLD
    else:
        own = math.isfinite(fed) and times >= FAR * max(1.0, fed)
        verdict = Verdict.SUSPECT if own else Verdict.CARRIED
    if edit is not None and verdict is not Verdict.CARRIED:
        verdict = Verdict.EDITED
    elif verdict is Verdict.SUSPECT and rounded_product(comparison, site, found) is not None:
        verdict = Verdict.ROUNDED
    return SiteNoise(site, rounding, times, fed, verdict, found, edit)


def _fed(found: Feeds, multiples: dict[str, tuple[float, float]]) -> float | None:
    """The largest multiple of a site's inputs; other experts or tokens are a difference beyond any measure."""
    if found.missing:
        return None
    if any(fed.outcome is Outcome.DIFFERENT and not _is_float(fed) for fed in found.found):
        return math.inf
    known = [multiples[fed.site][1] for fed in found.found if fed.site in multiples]
    lacking = any(fed.site not in multiples and fed.outcome is not Outcome.SAME for fed in found.found)
    return None if lacking else max(known, default=0.0)


def _is_float(site: SiteDiff) -> bool:
    return all(named.record.dtype in _ROUNDINGS for named in (site.pair.a, site.pair.b))

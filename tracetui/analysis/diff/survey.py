"""A report made ready to walk through: which sites differ, where a difference is made, where there is more to tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from tracetui.analysis.diff.feeds import Feeds, Sites, feeds, sites_by_name
from tracetui.analysis.diff.finding import Finding, find
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Outcome, SiteDiff

_LOOKED_INTO = 12
"""The most sites that are searched for known faults: each takes as long as reading its tensors a few times."""


@dataclass(frozen=True, eq=False, slots=True)
class Survey:
    """What a walk through two traces can stop at."""

    report: Report
    sites: Sites
    """By name, in order of execution."""
    places: Mapping[str, int]
    """Of every site in that order."""
    apart: tuple[str, ...]
    """Sites that differ, those whose shapes don't go together included; in order of execution."""
    made: frozenset[str]
    """Of these, the ones where a difference is made: all that feeds them agrees, or no other tensor does."""
    clues: tuple[str, ...]
    """Sites with a hint, and choices of experts that changed; in order of execution."""

    def finding(self, site: str) -> Finding | None:
        """What is made of a site; None where only one side has it. Reads its tensors."""
        for known in (self.report.finding, self.report.beyond):
            if known is not None and known.site.site == site:
                return known
        found = self.sites.get(site)
        return None if found is None else find(self.report.comparison, found, self.report.flips, self.sites)


def survey(report: Report) -> Survey:
    """Look at everything that differs; reads the tensors of some of it."""
    comparison = report.comparison
    sites = sites_by_name(comparison)
    apart = [site for site in comparison.sites if site.outcome in (Outcome.DIFFERENT, Outcome.SHAPES)]
    made = [site for site in apart if site.outcome is Outcome.DIFFERENT and _fresh(feeds(comparison, site, sites))]
    origins = [_finding(report, site, sites) for site in islice(made, _LOOKED_INTO)]
    cleared = {
        finding.site.site for finding in origins if finding.feeds.found and not (finding.at_fault or finding.edit)
    }
    further = set() if report.beyond is None else {report.beyond.site.site}
    told = further | {finding.site.site for finding in origins if finding.hints} | {flip.site for flip in report.flips}
    return Survey(
        report,
        sites,
        {site: place for place, site in enumerate(sites)},
        tuple(site.site for site in apart),
        frozenset(site.site for site in made) - cleared | further,
        tuple(site.site for site in comparison.sites if site.site in told),
    )


def _fresh(fed: Feeds) -> bool:
    """Whether no input differs: all inputs agree, or there are none but weights and ids."""
    return fed.agree or not (fed.found or fed.missing)


def _finding(report: Report, site: SiteDiff, sites: Sites) -> Finding:
    if report.finding is not None and report.finding.site is site:
        return report.finding
    return find(report.comparison, site, report.flips, sites)

"""What the diff's screen tells of one line of its tree."""

from __future__ import annotations

from collections.abc import Iterator

from tracetui.analysis.diff.finding import Finding
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Outcome
from tracetui.analysis.diff.routing.routed import chooses
from tracetui.analysis.diff.tree import Node, Standing
from tracetui.recording.record import Record
from tracetui.views.diff.format import entry, wrapped
from tracetui.views.diff.report import flip_text
from tracetui.views.diff.rows import scientific
from tracetui.views.diff.site import finding_lines

_FLIPS = 40
_HEADS = {
    Outcome.SAME: "Agrees",
    Outcome.DIFFERENT: "Differs",
    Outcome.SHAPES: "Shapes differ",
    Outcome.SKIPPED: "Not compared",
}


def site_lines(
    report: Report, site: str, finding: Finding | None, alone: Record | None, problem: str, width: int
) -> list[str]:
    """A site's finding in words, lines of at most `width` cells."""
    return list(_site(report, site, finding, alone, problem, width))


def _site(
    report: Report, site: str, finding: Finding | None, alone: Record | None, problem: str, width: int
) -> Iterator[str]:
    if problem:
        yield from wrapped(f"{site}: {problem}", width, "", "  ")
    elif alone is not None:
        yield from wrapped(f"{_lone_head(report, site)}: {site}", width, "", "  ")
        yield from entry("shape", [f"{list(alone.shape)} {alone.dtype}"], width)
    elif finding is not None:
        first = report.first is not None and finding.site.site == report.first.site
        yield from wrapped(f"{'First divergence' if first else _HEADS[finding.site.outcome]}: {site}", width, "", "  ")
        yield from finding_lines(report.comparison, finding, width)
        yield from _flips(report, finding, width)


def _lone_head(report: Report, site: str) -> str:
    alignment = report.comparison.alignment
    ahead = any(named.site == site for named in (*alignment.ahead_a, *alignment.ahead_b))
    return "Not run yet on one side" if ahead else "On one side only"


def _flips(report: Report, finding: Finding, width: int) -> Iterator[str]:
    """At a choice of experts, the tokens whose experts changed."""
    own = [flip for flip in finding.flips if flip.site == finding.site.site]
    if not own or not (chooses(finding.site.site) or own):
        return
    told = [flip_text(report.comparison.a, flip) for flip in own[:_FLIPS]]
    yield ""
    for place, text in enumerate(told):
        yield from wrapped(text, width, f"{'' if place else 'routing':<10} ", " " * 13)
    if len(own) > _FLIPS:
        yield f"{'':<10} and {len(own) - _FLIPS:,} more"


def group_lines(node: Node, width: int) -> list[str]:
    """A group that has no values of its own: how many sites, how many differ, the worst."""
    lines = wrapped(node.name, width, "", "  ")
    lines += entry("sites", [f"{node.sites:,}, of which {node.apart:,} differ"], width)
    if node.standing in (Standing.ONLY_A, Standing.ONLY_B):
        lines += entry("only in", ["A" if node.standing is Standing.ONLY_A else "B"], width)
    if node.standing is Standing.AHEAD:
        lines += entry("not run", ["one side's run has not come to it yet"], width)
    if node.worst is not None:
        lines += entry("worst", [f"{scientific(node.worst)} of B's norm, in the worst row"], width)
    return lines

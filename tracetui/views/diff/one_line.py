"""What was found of one site in two lines, where all of it would leave no room for its values."""

from __future__ import annotations

from tracetui.analysis.diff.finding import Finding
from tracetui.analysis.diff.result import Outcome
from tracetui.views.diff.effects import by_edit
from tracetui.views.diff.format import number
from tracetui.views.diff.made import short_end


def short_lines(finding: Finding) -> tuple[str, str]:
    """How far apart it is and where that is made; what it looks like, empty where no known fault does."""
    return f"{_distance(finding)}{_made(finding)}", _looks(finding)


def _distance(finding: Finding) -> str:
    site = finding.site
    if site.outcome is Outcome.SHAPES:
        return "shapes differ"
    if site.distance is None:
        return "not compared"
    if site.distance.unlike:
        return "NaN or Inf on one side"
    if site.distance.by_statistics:
        return f"statistics {'differ' if site.outcome is Outcome.DIFFERENT else 'agree'}"
    return f"{'agrees,' if site.outcome is Outcome.SAME else 'off by'} {number(site.distance.furthest)}·|b|"


def _made(finding: Finding) -> str:
    if finding.site.outcome is not Outcome.DIFFERENT:
        return ""
    if finding.edit is not None:
        return f" · {by_edit(finding.edit)}"
    if finding.rounded is not None:
        return f" · {finding.rounded.side} rounds its inputs"
    if finding.tied:
        return " · flipped ties"
    if finding.unseen is not None:
        return " · perhaps flipped ties"
    if finding.carried:
        return " · rounding adds up"
    if finding.weights:
        return f" · its weight{'s differ' if len(finding.weights) > 1 else ' differs'}"
    return short_end(finding) if finding.at_fault else _inputs(finding)


def _inputs(finding: Finding) -> str:
    """What holds of the inputs where nothing more can be said of the difference."""
    feeds = finding.feeds
    if feeds.given is not None:
        return " · given another tensor" if feeds.given.sure else " · perhaps given another tensor"
    if any(fed.outcome is not Outcome.SAME for fed in feeds.found):
        return " · its inputs differ too"
    if feeds.agree:
        return " · its inputs agree"
    return "" if feeds.missing else " · no tensor feeds it"


def _looks(finding: Finding) -> str:
    if not finding.hints:
        return ""
    more = f" (and {len(finding.hints) - 1} more)" if len(finding.hints) > 1 else ""
    return f"{finding.hints[0].title}{more}"

"""The report's comparison with another trace."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Outcome, SiteDiff
from tracetui.export.report.markup import Html, bar, el, join, row, section, table, text
from tracetui.text import number
from tracetui.views.diff.by_layer import worst_by_layer
from tracetui.views.diff.format import WIDTH
from tracetui.views.diff.report import diff_lines, verdict
from tracetui.views.diff.site import first_lines

_LONGEST = 4000


def diff_part(report: Report, names: tuple[str, str]) -> Html:
    """Verdict, first divergence, a row for each layer, and all that `tracetui diff` prints."""
    comparison = report.comparison
    words = el("p", text(verdict(report), _LONGEST), class_="verdict same" if comparison.same else "verdict")
    first = [] if report.first is None else [_lines(first_lines(report, WIDTH))]
    worst = worst_by_layer(comparison.sites)
    rows = [_layer_row(name, site) for name, site in worst]
    layers = (
        [table(("layer", "", "worst row", "whole tensor", "", "<furthest apart"), rows)] if comparison.different else []
    )
    whole = el("details", el("summary", "All of it"), _lines(diff_lines(report, names)))
    lead = f"A is this trace, {names[0]}; B, the reference, is {names[1]}. Distances are |a−b|/|b|."
    return section("diff", "Difference", words, join(*first, *layers), whole, lead=lead)


def _layer_row(name: str, site: SiteDiff) -> Html:
    distance = site.distance
    assert distance is not None
    differs = site.outcome is Outcome.DIFFERENT
    off = el("td", "off", class_="bad") if differs else el("td", "same", class_="good")
    site_cell = el("td", site.site if differs else "", class_="site")
    return row(
        name, off, number(distance.furthest), number(distance.relative), bar(_height(distance.furthest)), site_cell
    )


def _height(relative: float) -> float:
    """From float32's rounding to 1, by the logarithm."""
    if math.isnan(relative):
        return 1.0
    return 1 + math.log10(relative) / 7 if relative > 0 else 0.0


def _lines(lines: Iterable[str]) -> Html:
    return el("pre", Html("\n".join(map(text, lines))))

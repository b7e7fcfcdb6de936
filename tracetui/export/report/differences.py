"""The report's comparison with another trace."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from tracetui.analysis.diff.effects import NextTokens, edits_of_sides, next_tokens_of
from tracetui.analysis.diff.report import Report
from tracetui.analysis.diff.result import Outcome, SiteDiff
from tracetui.export.report.markup import Html, bar, el, join, row, section, table, text
from tracetui.text import number
from tracetui.views.diff.by_layer import worst_by_layer
from tracetui.views.diff.format import WIDTH
from tracetui.views.diff.report import diff_lines, verdict
from tracetui.views.diff.site import first_lines
from tracetui.views.tokens import named_token, token_label

_LONGEST = 4000


def diff_part(report: Report, names: tuple[str, str]) -> Html:
    """Verdict, edits and next tokens, first divergence, a row for each layer, and all that `tracetui diff` prints."""
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
    ends = join(*_edits(report), *map(_next_tokens, next_tokens_of(comparison.a, comparison.b)))
    return section("diff", "Difference", words, ends, join(*first, *layers), whole, lead=lead)


def _edits(report: Report) -> Iterator[Html]:
    """What each side changed; nothing where neither did."""
    of_sides = edits_of_sides(report.comparison.a, report.comparison.b)
    if any(of_sides):
        yield el("h3", "Edits")
        for side, edits in zip("AB", of_sides, strict=True):
            yield el("p", f"{side}: ", *(el("code", edit, class_="chip") for edit in edits), "" if edits else "none")


def _next_tokens(ends: NextTokens) -> Html:
    """The most probable next tokens of both sides, beside each other."""
    title = f"Next token after {named_token(ends.position, ends.after)}" + (f", row {ends.row}" if ends.row else "")
    heads = ("<token", "A", "", "B", "", "A − B")
    largest = max((max(each.a, each.b) for each in ends.candidates), default=0.0) or 1.0
    rows = [
        row(
            el("td", el("code", token_label(each.token, 40)), class_="left"),
            f"{each.a:.3%}",
            bar(each.a / largest),
            f"{each.b:.3%}",
            bar(each.b / largest),
            f"{100 * (each.a - each.b):+.3f}",
        )
        for each in ends.candidates
    ]
    moved = f"{ends.moved:.2%} of all probability goes to other tokens; A − B is in points of a hundred."
    return join(el("h3", title), table(heads, rows), el("p", moved, class_="quiet"))


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

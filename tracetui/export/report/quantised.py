"""What quantising did, as a part of a report and as one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from tracetui.analysis.diff.weights import WeightDifferences, WeightPair
from tracetui.analysis.quantised.damage import QuantisationReport
from tracetui.export.report.markup import Html, bar, el, join, more, row, section, table, text
from tracetui.export.report.page import page
from tracetui.text import number
from tracetui.views.diff.weights import weight_lines
from tracetui.views.quantised.ranking import RankedTable, Ranking, ranked
from tracetui.views.quantised.words import whole_lines

_ROWS = 400
_LONGEST = 4000


def write_quantised(report: QuantisationReport, file: IO[bytes]) -> str:
    """Write a report of nothing else; returns the names of its sections."""
    parts = {
        ranking.name.lower(): (ranking.value, _ranking_part(made, ranking))
        for ranking in Ranking
        if (made := ranked(report, ranking)).rows
    }
    for piece in page(f"{report.quantised} · quantised", _body(report, parts)):
        file.write(piece.encode())
    return ", ".join(title for title, _ in parts.values())


def _body(report: QuantisationReport, parts: dict[str, tuple[str, Html]]) -> Iterator[Html]:
    facts = (("original", report.original), ("quantised", report.quantised))
    yield el(
        "header",
        el("p", "tracetui report", class_="eyebrow"),
        el("h1", "What quantising did"),
        el("dl", *(el("div", el("dt", title), el("dd", value)) for title, value in facts)),
        el("ul", *(el("li", text(line, _LONGEST)) for line in (*whole_lines(report), *report.notes)), class_="notes"),
        el("nav", *(el("a", title, href=f"#{anchor}") for anchor, (title, _) in parts.items())),
    )
    for _, part in parts.values():
        yield part


def _ranking_part(made: RankedTable, ranking: Ranking) -> Html:
    rows = [row(el("td", each.name, class_="site"), *each.cells, bar(made.share(each))) for each in made.rows[:_ROWS]]
    body = table(("", *made.heads, ""), rows)
    return section(ranking.name.lower(), made.title, body, more(len(made.rows) - _ROWS, "rows"), lead=made.note)


def weights_part(weights: WeightDifferences) -> Html:
    """The weights in which two traces differ, by what they remember; nothing where they are the same."""
    if not weights.pairs:
        return Html("")
    words = join(*(el("p", text(line, _LONGEST)) for line in weight_lines(weights)))
    furthest = sorted(weights.pairs, key=lambda pair: -pair.relative)
    largest = max((pair.relative for pair in furthest if pair.is_measured), default=0.0)
    rows = [_pair_row(pair, largest) for pair in furthest[:_ROWS]]
    body = table(("", "|a−b|/|b|", "A", "B", ""), rows)
    return section("weights", "Weights that differ", words, body, more(len(furthest) - _ROWS, "weights"))


def _pair_row(pair: WeightPair, largest: float) -> Html:
    apart = number(pair.relative) if pair.is_measured else "another shape"
    length = pair.relative / largest if pair.is_measured and largest else 1.0
    site = el("td", pair.name, class_="site")
    return row(site, apart, pair.a.provenance, pair.b.provenance, bar(length))

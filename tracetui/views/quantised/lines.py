"""What `tracetui quantised` prints: the whole first, then what hurts most."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rich.cells import cell_len

from tracetui.analysis.quantised.damage import QuantisationReport
from tracetui.text import visible
from tracetui.views.cells import fit
from tracetui.views.quantised.ranking import RankedTable, Ranking, ranked
from tracetui.views.quantised.words import whole_lines

_SOME = 12
_WIDTH = 100


def quantised_lines(report: QuantisationReport, everything: bool = False) -> Iterator[str]:
    """The report as text; of long tables the most damaging rows, unless everything is wanted."""
    yield f"original   {visible(report.original, 100)}"
    yield f"quantised  {visible(report.quantised, 100)}"
    yield ""
    for line in whole_lines(report):
        yield from wrap(line, _WIDTH, subsequent_indent="  ")
    for ranking in Ranking:
        table = ranked(report, ranking)
        if table.rows:
            yield ""
            yield from table_lines(table, None if everything else _SOME)
    if report.notes:
        yield ""
        yield from (f"note: {visible(note, 300)}" for note in report.notes)


def table_lines(table: RankedTable, most: int | None = None) -> Iterator[str]:
    """A table as text, or its first rows."""
    listed = table.rows if most is None else table.rows[:most]
    width = max(cell_len(row.name) for row in listed)
    widths = column_widths(table)
    yield table.title
    yield _line("", table.heads, width, widths)
    for row in listed:
        yield _line(row.name, row.cells, width, widths)
    if (left := len(table.rows) - len(listed)) > 0:
        yield f"  and {left:,} more; --all shows all"
    if table.note:
        yield f"  {table.note}"


def _line(name: str, cells: tuple[str, ...], width: int, widths: tuple[int, ...]) -> str:
    columns = (fit(cell, cells_wide, right=True) for cell, cells_wide in zip(cells, widths, strict=True))
    return "  ".join(("", fit(name, width), *columns)).rstrip()


def column_widths(table: RankedTable) -> tuple[int, ...]:
    """Cells that each column needs."""
    columns = zip(table.heads, *(row.cells for row in table.rows), strict=True)
    return tuple(max(map(cell_len, column)) for column in columns)

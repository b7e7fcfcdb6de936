"""A trace's statistics for machines: as a table, and as the document that the file format describes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from tracetui.text import visible
from tracetui.trace.npz.encode import encode_header
from tracetui.trace.table import COLUMNS, Cell, rows
from tracetui.trace.trace import Trace
from tracetui.trace.value import is_kept

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the start of a formula, of full width too, wherever the text comes from."""


def csv_lines(trace: Trace) -> Iterator[str]:
    """A head, then a line for each record: where it was seen, shape, dtype, statistics; without line ends."""
    yield _line(COLUMNS)
    for row in rows(trace):
        yield _line(tuple(map(_cell, row)))


def json_lines(trace: Trace) -> Iterator[str]:
    """The header of docs/trace-format.md: run, tokens, attention calls, records with their statistics."""
    keys = [record.key if is_kept(trace.value(record)) else None for record in trace.records]
    yield encode_header(trace, trace.all_statistics(), keys).decode("ascii")


def _cell(cell: Cell) -> Cell:
    """Numbers in full, foreign text without what a terminal or spreadsheet acts on."""
    if not isinstance(cell, str):
        return cell
    shown = visible(cell)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _line(cells: tuple[Cell, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()

"""A trace's statistics for machines: as a table, and as the document that the file format describes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from tracetui.recording.npz.encode import canonical, encode_header
from tracetui.recording.table import COLUMNS, Cell, rows
from tracetui.recording.trace import Trace
from tracetui.recording.value import is_kept
from tracetui.text import visible

_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the start of a formula, of full width too, wherever the text comes from."""


def csv_lines(trace: Trace) -> Iterator[str]:
    """A head, then a line for each record: where it was seen, shape, dtype, statistics; without line ends."""
    yield _line(COLUMNS)
    for row in rows(trace):
        yield _line(tuple(map(_cell, row)))


def json_lines(trace: Trace) -> Iterator[str]:
    """The header of docs/trace-format.md: run, tokens, attention calls, records with their statistics."""
    yield _header(trace).decode("ascii")


def info_json(trace: Trace, file: str, size: int) -> Iterator[str]:
    """The same, with the file that it is of, its bytes, and whether it is a file of named tensors and no trace."""
    about = {"file": file, "bytes": size, "dump": trace.dump, "started": trace.run.started or None}
    yield canonical({**json.loads(_header(trace)), **about}).decode("ascii")


def _header(trace: Trace) -> bytes:
    keys = [record.key if is_kept(trace.value(record)) else None for record in trace.records]
    return encode_header(trace, trace.all_statistics(), keys)


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

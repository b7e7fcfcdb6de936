"""A table of layers and tokens: in each cell the most probable next token, on a ground that says how probable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.style import Style

from tracetui.analysis.lens import LensTable
from tracetui.recording.trace import Trace
from tracetui.views.cells import Line, fit, line
from tracetui.views.charts.bars import percent
from tracetui.views.inks import Inks
from tracetui.views.tokens import token_label

COLUMN = 13
"""Cells of a column with the blank after it."""
_LAYER = 5
_PERCENT = 3


@dataclass(frozen=True, slots=True)
class Corner:
    """The first layer and column on view, counted from 0 in the table."""

    row: int
    column: int


def room(width: int, height: int) -> tuple[int, int]:
    """How many layers and tokens have room; one line is for the tokens' own texts."""
    return max(1, height - 1), max(1, (width - _LAYER) // COLUMN)


def cell_at(x: int, y: int, corner: Corner) -> tuple[int, int] | None:
    """Row and column of the table below a cell of its picture; None on its head and its layers."""
    return (corner.row + y - 1, corner.column + (x - _LAYER) // COLUMN) if x >= _LAYER and y else None


def lens_lines(
    trace: Trace,
    table: LensTable,
    labels: Sequence[str],
    grounds: Sequence[Style],
    cursor: tuple[int, int],
    corner: Corner,
    size: tuple[int, int],
    inks: Inks,
) -> Iterator[Line]:
    """The lines of a table of `size` (width, height), the last layer on top as predictions ripen upwards.

    labels: of the columns. grounds: from improbable to the most probable of the table. cursor: row and column in it.
    """
    width, height = size
    rows, columns = room(width, height)
    visible_columns = range(corner.column, min(corner.column + columns, len(labels)))
    heads = [
        (_head(labels[column], column == cursor[1]), _style(column == cursor[1], inks)) for column in visible_columns
    ]
    yield line([(fit("layer", _LAYER), inks.quiet), *heads], width)
    top = most_probable(table) or 1.0
    for row in range(corner.row, min(corner.row + rows, len(table.layers))):
        layer = len(table.layers) - 1 - row
        here = row == cursor[0]
        parts = [(fit(str(table.layers[layer]), _LAYER - 1, right=True) + " ", _style(here, inks))]
        for column in visible_columns:
            share = float(table.probs[layer, column, 0])
            marked = (row, column) == cursor
            parts += _cell(_text(trace, int(table.ids[layer, column, 0])), share, marked, grounds, inks, top)
        yield line(parts, width)


def _head(label: str, here: bool) -> str:
    return fit(f"{'▾' if here else ' '}{label}", COLUMN)


def _style(here: bool, inks: Inks) -> Style:
    return inks.mark if here else inks.quiet


def most_probable(table: LensTable) -> float:
    """The largest probability of the table: the last of its colours."""
    best = table.probs[:, :, 0]
    return float(np.nanmax(best)) if best.size and not np.isnan(best).all() else 1.0


def in_percent(share: float) -> str:
    """A probability in percent in three characters: `83`, `.5`, `.05`; `~0` where less."""
    amount = share * 100
    if amount >= 0.95:
        return f"{amount:.0f}"
    digits = 1 if amount >= 0.095 else 2
    return f"{amount:.{digits}f}"[1:] if amount >= 0.0095 else "~0"


def _cell(
    text: str, share: float, marked: bool, grounds: Sequence[Style], inks: Inks, top: float
) -> list[tuple[str, Style]]:
    """`▸·answer  83◂`: the token and its probability in percent; the cursor's marks leave the ground as it is."""
    known = share == share
    ground = grounds[min(len(grounds) - 1, max(0, int(share / top * len(grounds))))] if known else inks.nan
    number = in_percent(share) if known else "nan"
    inside = f"{'▸' if marked else ' '}{fit(text, COLUMN - _PERCENT - 3)} {fit(number, _PERCENT, right=True)}"
    if marked:
        return [(inside, ground + Style(bold=True)), ("◂", inks.mark)]
    return [(inside, ground), (" ", Style.null())]


def told(trace: Trace, table: LensTable, label: str, cursor: tuple[int, int]) -> tuple[str, str]:
    """The cell in words: where it is, and what would come next there with the probabilities."""
    layer = len(table.layers) - 1 - cursor[0]
    place = f"after layer {table.layers[layer]} at token {table.positions[cursor[1]]} “{label}”"
    pairs = zip(table.ids[layer, cursor[1]].tolist(), table.probs[layer, cursor[1]].tolist(), strict=True)
    return place, "   ".join(f"{_text(trace, each)} {percent(share)}" for each, share in pairs)


def _text(trace: Trace, token_id: int) -> str:
    """A token's text, or its id if the tokenizer has none."""
    return token_label(trace.token(token_id), 40)

"""The next-token table: rank, token, probability as a bar and in figures, logit, id."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style

from tracetui.analysis.prediction import Prediction
from tracetui.text import token_text
from tracetui.views.cells import Line, bar, blank, fit, line
from tracetui.views.inks import Inks

_PERCENT, _LOGIT, _ID = 7, 8, 7
_TOKEN_MIN, _TOKEN_MAX, _BAR_MIN = 9, 24, 4
_GAP = "  "
_BAR_HEAD = "against the first"


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths in cells; 0 leaves a column and its gap out."""

    rank: int
    token: int
    bar: int
    logit: int
    id: int


def prediction_lines(
    predictions: Sequence[Prediction], width: int, height: int, inks: Inks, *, first: int = 0, cursor: int | None = None
) -> list[Line]:
    """`height` lines of `width` cells: a header if there is room for more, then the predictions from `first` on.

    A full bar is the first prediction's probability: those of a large vocabulary are all small.
    Narrow tables lose the bar first, then the id, then the logit.
    """
    columns = _columns(width, len(predictions))
    lines = [_header(columns, width, inks)] if height > 1 else []
    ranks = range(first, min(len(predictions), first + height - len(lines)))
    full = max((prediction.probability for prediction in predictions), default=1.0) or 1.0
    lines += [_row(rank, predictions[rank], full, columns, width, inks, rank == cursor) for rank in ranks]
    return lines[:height] + [blank(width) for _ in range(height - len(lines))]


def _columns(width: int, count: int) -> _Columns:
    rank = max(2, len(str(count)))
    left = width - rank - len(_GAP) - _PERCENT
    rest: dict[str, int] = {}
    for name, size in (("logit", _LOGIT), ("id", _ID), ("bar", _BAR_MIN)):
        if left - len(_GAP) - size < _TOKEN_MIN + len(_GAP):
            break
        rest[name] = size
        left -= len(_GAP) + size
    left -= len(_GAP)
    token = max(0, min(left, _TOKEN_MAX, max(_TOKEN_MIN, left // 2)) if "bar" in rest else left)
    wide = rest["bar"] + left - token if "bar" in rest else 0
    return _Columns(rank, token, wide, rest.get("logit", 0), rest.get("id", 0))


def _header(columns: _Columns, width: int, inks: Inks) -> Line:
    cells = [fit("#", columns.rank, right=True), fit("token", columns.token)]
    if columns.bar:
        cells.append(fit(_BAR_HEAD if columns.bar >= len(_BAR_HEAD) else "", columns.bar))
    cells.append(fit("%", _PERCENT, right=True))
    for name, size in (("logit", columns.logit), ("id", columns.id)):
        if size:
            cells.append(fit(name, size, right=True))
    return line([(_GAP.join(cells), inks.quiet)], width)


def _row(
    rank: int, prediction: Prediction, full: float, columns: _Columns, width: int, inks: Inks, at_cursor: bool
) -> Line:
    ground = inks.cursor if at_cursor else Style.null()
    token, quiet = prediction.token, inks.quiet + ground
    text = token_text(token.bytes) if token.bytes else f"#{token.id}"
    named = inks.special if token.special else inks.text
    parts = [
        (fit(str(rank + 1), columns.rank, right=True) + _GAP, quiet),
        (fit(text, columns.token) + _GAP, named + ground),
    ]
    if columns.bar:
        parts += [*gauge(prediction.probability / full, columns.bar, inks), (_GAP, ground)]
    parts.append((fit(percent(prediction.probability), _PERCENT, right=True), inks.text + ground))
    if columns.logit:
        parts.append((_GAP + fit(f"{prediction.logit:.3f}", columns.logit, right=True), quiet))
    if columns.id:
        parts.append((_GAP + fit(str(token.id), columns.id, right=True), quiet))
    return line([*parts, (" " * width, ground)], width)


def gauge(fraction: float, width: int, inks: Inks) -> list[tuple[str, Style]]:
    """A bar of `width` cells with its track, as texts and styles."""
    filled = bar(fraction, width)
    return [(filled, inks.bar + inks.track), (" " * (width - len(filled)), inks.track)]


def percent(probability: float) -> str:
    """A probability in at most seven characters; what is not quite 0 or 1 never reads as 0 or 100 %."""
    if not math.isfinite(probability):
        return str(probability)
    if 0 < probability < 5e-5:
        return "<0.01%"
    if 0.99995 <= probability < 1:
        return ">99.99%"
    return f"{probability:.2%}"

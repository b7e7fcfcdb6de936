"""The next-token table: rank, token, probability as a bar and in figures, logit, id."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.style import Style

from tracetui.analysis.prediction import Prediction
from tracetui.views.cells import Line, bar, blank, fit, line
from tracetui.views.inks import Inks
from tracetui.views.tokens import token_label

_PERCENT, _LOGIT, _ID = 7, 8, 7
_TOKEN_MIN, _TOKEN_MAX, _BAR_MIN = 9, 24, 4
_GAP = "  "
_ALIKE = 0.5
"""Probabilities that differ less are told apart by marks between the least and the largest, not by bars from 0."""
_FAR = 1e-3
"""Those that differ more by logarithmic bars."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Widths in cells; 0 leaves a column and its gap out."""

    rank: int
    token: int
    bar: int
    logit: int
    id: int


@dataclass(frozen=True, slots=True)
class _Scale:
    """What a cell of the bar stands for, by the rows on view."""

    low: float
    high: float
    kind: str
    """`linear`, from 0; `log`, from `low`; `marks`, between both."""

    def header(self, room: int) -> str:
        """In words, as far as there is room."""
        headers: tuple[str, ...]
        if self.kind == "log":
            headers = (f"log, {percent(self.low)} to {percent(self.high)}", f"log, from {percent(self.low)}", "log")
        elif self.kind == "marks":
            ends = f"{percent(self.low)} to {percent(self.high)}"
            headers = (f"marks, {ends}, not from 0", f"{ends}, not from 0", "not from 0", "marks")
        else:
            headers = (f"linear, 0 to {percent(self.high)}", f"0 to {percent(self.high)}", "from 0")
        return next((header for header in headers if len(header) <= room), "")

    def fraction(self, probability: float) -> float:
        if self.kind == "log":
            ratio = max(probability, self.low) / self.low if math.isfinite(probability) else 1.0
            return math.log(ratio) / math.log(self.high / self.low)
        if self.kind == "marks":
            return (probability - self.low) / (self.high - self.low)
        return probability / self.high


def _scale(predictions: Sequence[Prediction], rows: range) -> _Scale:
    """The scale that tells the rows on view apart."""
    known = [predictions[rank].probability for rank in rows if math.isfinite(predictions[rank].probability)]
    full = max((prediction.probability for prediction in predictions), default=1.0) or 1.0
    high, positive = max(known, default=0.0), [probability for probability in known if probability > 0]
    low = min(positive, default=0.0)
    if len(set(known)) > 1 and low and min(known) > 0 and low > _ALIKE * high:
        return _Scale(low, high, "marks")
    if low and low < _FAR * full:
        return _Scale(10.0 ** math.floor(math.log10(low)), full, "log")
    return _Scale(0.0, full, "linear")


def prediction_lines(
    predictions: Sequence[Prediction], width: int, height: int, inks: Inks, *, first: int = 0, cursor: int | None = None
) -> list[Line]:
    """`height` lines of `width` cells: a header if there is room for more, then the predictions from `first` on.

    A full bar is the first prediction's probability: those of a large vocabulary are all small. The header says what
    bars mean: where the rows on view differ by a thousand they are logarithmic, where they hardly do, marks.
    Narrow tables lose the bar first, then the id, then the logit.
    """
    columns = _columns(width, len(predictions))
    ranks = range(first, min(len(predictions), first + height - (height > 1)))
    scale = _scale(predictions, ranks)
    lines = [_header(columns, scale, width, inks)] if height > 1 else []
    lines += [_row(rank, predictions[rank], scale, columns, width, inks, rank == cursor) for rank in ranks]
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


def _header(columns: _Columns, scale: _Scale, width: int, inks: Inks) -> Line:
    cells = [fit("#", columns.rank, right=True), fit("token", columns.token)]
    if columns.bar:
        cells.append(fit(scale.header(columns.bar), columns.bar))
    cells.append(fit("%", _PERCENT, right=True))
    for name, size in (("logit", columns.logit), ("id", columns.id)):
        if size:
            cells.append(fit(name, size, right=True))
    return line([(_GAP.join(cells), inks.quiet)], width)


def _row(
    rank: int, prediction: Prediction, scale: _Scale, columns: _Columns, width: int, inks: Inks, at_cursor: bool
) -> Line:
    ground = inks.cursor if at_cursor else Style.null()
    token, quiet = prediction.token, inks.quiet + ground
    text = token_label(token)
    named = inks.special if token.special else inks.text
    parts = [
        (fit(str(rank + 1), columns.rank, right=True) + _GAP, quiet),
        (fit(text, columns.token) + _GAP, named + ground),
    ]
    if columns.bar:
        draw = mark if scale.kind == "marks" else gauge
        parts += [*draw(scale.fraction(prediction.probability), columns.bar, inks), (_GAP, ground)]
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


def mark(fraction: float, width: int, inks: Inks) -> list[tuple[str, Style]]:
    """A mark on a rail of `width` cells, as texts and styles."""
    at = 0 if math.isnan(fraction) else max(0, min(width - 1, round(fraction * (width - 1))))
    return [("─" * at, inks.rule), ("●", inks.bar), ("─" * (width - 1 - at), inks.rule)]


def percent(probability: float) -> str:
    """A probability in at most seven characters; what is not quite 0 or 1 never reads as 0 or 100 %."""
    if not math.isfinite(probability):
        return str(probability)
    if 0 < probability < 1e-3:
        shares = (f"{probability * 100:{digits}g}%".replace("e-0", "e-") for digits in ("#.3", "#.2", ".1"))
        return next((share for share in shares if len(share) <= _PERCENT), "<1e-99%")
    if 0.99995 <= probability < 1:
        return ">99.99%"
    return f"{probability:.2%}"

"""A run as a film strip: a column a record or several, as high as the largest norm in it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from rich.style import Style

from tracetui.analysis.distribution.robust_range import by_decades
from tracetui.analysis.timeline.columns import NO_COLUMNS, Place, TimelineColumns
from tracetui.analysis.timeline.pyramid import Floats, Ints
from tracetui.text import number
from tracetui.views.cells import Line, blank, column, fit, line, runs
from tracetui.views.inks import Inks
from tracetui.views.module_columns import three_digits

_BROKEN, _NOTHING, _HERE, _FLAG, _TICK, _PASS, _MADE = "×", "·", "▲", "⚑", "╵", "┃", "!"
_NO_GROUND = Style(reverse=False)
_MOST_DECADES = 1e6
"""Norms that are smaller than the largest by more stand as low as the lowest."""
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_WIDE, _NARROW, _BARE = 18, 10, 4
"""Cells for words at the left: with the ends of the scale, with the norm here, with the sort of scale alone."""


@dataclass(frozen=True, eq=False, slots=True)
class Film:
    """What is drawn of a run."""

    columns: TimelineColumns = NO_COLUMNS
    cursor: int = -1
    """The column of the record looked at; -1 for none."""
    norm: float = -np.inf
    """Of that record; -inf where it has none."""
    flags: Collection[int] = ()
    """Columns in which a stop held."""
    made: Collection[int] = ()
    """Columns in which a NaN or an infinity was made."""
    has_keys: bool = False
    """Whether it hears the keys."""


@dataclass(frozen=True, slots=True)
class FilmScale:
    """From the lowest bar to the highest one."""

    low: float
    high: float
    log: bool


def gutter(width: int) -> int:
    """Cells at the left that are no columns."""
    return _WIDE if width >= 100 else _NARROW if width >= 48 else _BARE


def columns_room(width: int) -> int:
    """How many columns there is room for: the last cell stays blank."""
    return max(0, width - gutter(width) - 1)


def film_lines(film: Film, width: int, height: int, inks: Inks) -> list[Line]:
    """`height` lines of `width` cells; the last of two or more has layers, passes, stops and where the user is."""
    if width <= 0 or height <= 0:
        return []
    room = gutter(width)
    rows = max(1, height - 1)
    scale = scale_of(film.columns.norms)
    picture = _bars(film, scale, rows, alone=height == 1, inks=inks)
    if height > 1:
        picture.append(_axis(film, columns_room(width), inks))
    words = _words(film, scale, room, height, inks)
    return [
        [*left, *cells, *blank(width - room - sum(len(segment.text) for segment in cells))]
        for left, cells in zip(words, picture, strict=True)
    ]


def scale_of(norms: Floats) -> FilmScale:
    """What fits the norms [columns]: by decades where they differ by a hundred and more, else from 0."""
    sizes = norms[np.isfinite(norms) & (norms > 0)]
    if not sizes.size:
        return FilmScale(0.0, 0.0, log=False)
    high = float(sizes.max())
    low = max(float(sizes.min()), high / _MOST_DECADES)
    return FilmScale(low, high, log=True) if by_decades(sizes) else FilmScale(0.0, high, log=False)


def heights(norms: Floats, scale: FilmScale, rows: int) -> Ints:
    """Eighths of a row [columns]: at least 1 where there is a norm, 0 where there is none."""
    known = np.isfinite(norms)
    if not scale.high:
        return known.astype(np.int64)
    sizes = np.clip(np.where(known, norms, scale.low), scale.low, scale.high)
    span = np.log(scale.high / scale.low) if scale.log else scale.high
    shares = (np.log(sizes / scale.low) if scale.log else sizes) / span
    return np.where(known, 1 + np.rint(shares * (8 * rows - 1)), 0).astype(np.int64)


def _bars(film: Film, scale: FilmScale, rows: int, alone: bool, inks: Inks) -> list[Line]:
    """alone: no line below them says where the user is."""
    columns = film.columns
    eighths = heights(columns.norms, scale, rows).tolist()
    broken = columns.broken.tolist()
    bands = _bands(columns, inks)
    lines = []
    for row in range(rows - 1, -1, -1):
        chars, styles = [], []
        for at, (height, bad, band) in enumerate(zip(eighths, broken, bands, strict=True)):
            # What lies before the user is brighter than what is still to come.
            char, ink = column(height, row), inks.quiet if at < film.cursor else inks.faint
            if bad:
                # Where it begins is loud, what carries it on is not.
                loud = inks.nan if at == 0 or not broken[at - 1] else inks.nan + _NO_GROUND
                char, ink = (_BROKEN, loud) if row == 0 else (" ", ink)
            elif not height and row == 0:
                char = _NOTHING
            if at == film.cursor:
                ink = ink if bad and row == 0 and not alone else inks.mark
                char = "●" if alone else char
            chars.append(char)
            styles.append(ink + band if band else ink)
        lines.append(runs(chars, styles))
    return lines


def _bands(columns: TimelineColumns, inks: Inks) -> list[Style | None]:
    """The ground of each column: every other pass has one."""
    grounds: list[Style | None] = [None] * len(columns)
    begins = [at for at, _ in columns.passes]
    for place in range(1, len(begins), 2):
        end = begins[place + 1] if place + 1 < len(begins) else len(columns)
        grounds[begins[place] : end] = [inks.track] * (end - begins[place])
    return grounds


def _axis(film: Film, room: int, inks: Inks) -> Line:
    """Ticks with the numbers of layers, begins of passes, flags of stops, and the user."""
    count = len(film.columns)
    chars, styles = [" "] * room, [inks.quiet] * room
    marks = {
        **dict.fromkeys(film.flags, (_FLAG, inks.stop)),
        **dict.fromkeys(film.made, (_MADE, inks.nan)),
        **({film.cursor: (_HERE, inks.mark)} if film.cursor >= 0 else {}),
    }
    for at, (char, style) in marks.items():
        chars[at], styles[at] = char, style
    passes = film.columns.passes if len(film.columns.passes) > 1 else ()
    _place(chars, styles, _pass_labels(passes, count), inks.text)
    _place(chars, styles, _layer_labels(film.columns.layers, count), inks.quiet)
    return runs(chars, styles)


def _pass_labels(passes: Sequence[Place], count: int) -> list[tuple[int, str]]:
    each = count / max(1, len(passes))
    word = "pass " if each >= 9 else "p" if each >= 5 else ""
    step = _step(passes, count, len(word) + 1)
    return [(at, f"{_PASS}{word}{pass_}") for at, pass_ in passes if pass_ % step == 0]


def _layer_labels(layers: Sequence[Place], count: int) -> list[tuple[int, str]]:
    step = _step(layers, count, 1)
    return [(at, f"{_TICK}{layer}") for at, layer in layers if layer % step == 0]


def _step(places: Sequence[Place], count: int, marks: int) -> int:
    """Every how many there is room for a label of so many characters beside its number."""
    if not places:
        return 1
    need = marks + len(str(max(named for _, named in places))) + 1
    each = count / len(places)
    return next((step for step in _STEPS if step * each >= need), _STEPS[-1])


def _place(chars: list[str], styles: list[Style], labels: Sequence[tuple[int, str]], style: Style) -> None:
    """Labels where nothing stands, with a blank on their right; others are left out."""
    for at, text in labels:
        end = at + len(text)
        if end <= len(chars) and all(char == " " for char in chars[max(0, at - 1) : end + 1][at > 0 :]):
            chars[at:end] = text
            styles[at:end] = [style] * len(text)


def _words(film: Film, scale: FilmScale, room: int, height: int, inks: Inks) -> list[Line]:
    """What stands at the left of each line."""
    title = f"{'▌' if film.has_keys else ' '}{'norm ' if room > _BARE else ''}{'log' if scale.log else ''}"
    here = (fit(f" {number(film.norm)}" if np.isfinite(film.norm) else "", room), inks.mark)
    ends = [""] * height
    if room == _WIDE and scale.high and height > 2:
        ends = [f"{three_digits(scale.high)} ┤", *[" │"] * (height - 3), f"{three_digits(scale.low)} ┤", ""]
    ink = inks.mark if film.has_keys else inks.quiet
    lines = [line([(fit(title, room - len(ends[0])), ink), (ends[0], inks.quiet)], room)]
    if height > 1:
        lines += [line([(fit(end, room, right=True), inks.quiet)], room) for end in ends[1:-1]]
        lines.append(line([here], room))
    return lines

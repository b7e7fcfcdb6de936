"""The lines around a heatmap that say what is shown: title, legend, and a caption for the crosshair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.segment import Segment

from tracetui.text import count, number
from tracetui.views.cells import Line, fit, fit_end
from tracetui.views.heatmap.axes import LabelledAxis, MapStyle
from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.ink import HALF, MASKED_GLYPH, Brush, key, shade_levels
from tracetui.views.heatmap.pyramid import MASKED, NAN, Pyramid
from tracetui.views.heatmap.scale import Scale, ScaleKind
from tracetui.views.palette import LEVELS

WORDS: Mapping[ScaleKind, str] = {
    ScaleKind.LINEAR: "linear",
    ScaleKind.ROOT: "square root",
    ScaleKind.LAYER: "linear to the layer's largest",
    ScaleKind.LOG: "log",
    ScaleKind.ROWS: "row by row",
}
_LEAST_TITLE = 4
"""Cells of a name below which it isn't worth showing."""


def padded(line: Line, width: int, look: MapStyle) -> Line:
    """The line cut or filled to exactly `width` columns."""
    return Segment.adjust_line_length(line, width, look.ground)


def title_line(title: str, remark: str, shape: tuple[int, int], width: int, look: MapStyle) -> Line:
    """What the matrix is on the left, its size on the right; of its name the end, of the `remark` beside it all."""
    beside = f" · {remark}" if title and remark else remark
    least = cell_len(beside) + (_LEAST_TITLE if title else 0)
    facts = f"  {shape[0]}×{shape[1]}"
    if least + cell_len(facts) > width:
        facts = ""
    if least > width:
        return padded([Segment(remark or fit(title, width), look.title)], width, look)
    room = width - cell_len(beside) - cell_len(facts)
    name = fit_end(title, room)
    return padded(
        [Segment(f"{name}{beside}{' ' * (room - cell_len(name))}", look.title), Segment(facts, look.muted)], width, look
    )


def legend_line(
    pyramid: Pyramid, brush: Brush, palette_name: str, pooled: Sequence[str], width: int, look: MapStyle
) -> Line:
    """The palette from the lowest number to the highest, and what else is on the screen; what has no room goes.

    pooled: what one cell stands for, in forms of which the first that has room is taken; none where that is a number.
    """
    groups: list[Line] = []
    if pyramid.visible:
        bar = _bar(pyramid, brush, look)
        words = spread(pyramid.scale)
        # How it is spread is more than what else is said of it.
        fits = _width(bar) + 2 + cell_len(words) <= width
        groups += [bar, [Segment(words if fits else WORDS[pyramid.scale.kind], look.muted)]]
    if pyramid.masked:
        blank = brush.depth is Depth.NONE and MASKED_GLYPH == " "
        swatch = Segment("blank:", look.muted) if blank else brush.run(key(MASKED, MASKED), 2)
        groups.append([swatch, Segment(" masked", look.muted)])
    if pyramid.nan:
        groups.append([brush.run(key(NAN, NAN), 2), Segment(" NaN", look.muted)])
    room = width - sum(_width(group) + 2 for group in groups)
    fitting = next((words for words in pooled if cell_len(words) <= room), "")
    groups += [[Segment(words, look.muted)] for words in (fitting, f"colours: {palette_name}") if words]
    line: Line = []
    for group in groups:
        apart = [Segment("  ", look.ground)] if line else []
        if _width(line) + _width(apart) + _width(group) <= width:
            line += apart + group
    return padded(line, width, look)


def pooled_words(rows: str, columns: str, steps: tuple[int, int], what: str = "cell") -> tuple[str, ...]:
    """`1 cell = max of 2 tokens × 8 channels`, and shorter; nothing where each number has a cell of its own."""
    if steps == (1, 1):
        return ()
    names = [f"{step} {_several(name)}" for step, name in zip(steps, (rows, columns), strict=True) if step > 1]
    begin = f"1 {what} = max of "
    return f"{begin}{' × '.join(names)}", f"{begin}{steps[0]}×{steps[1]}", f"max of {steps[0]}×{steps[1]}"


def _several(name: str) -> str:
    return f"{name[:-1]}ies" if name.endswith("y") and name != "key" else f"{name}s"


def spread(scale: Scale) -> str:
    """`linear, all heads, 3 beyond`; `log from ±0.18`, where the bar doesn't say it."""
    begin = f" from ±{number(scale.floor)}" if scale.floor and scale.diverging else ""
    beyond = f"{count(scale.beyond)} beyond" if scale.beyond else ""
    return ", ".join(part for part in (f"{WORDS[scale.kind]}{begin}", scale.spans, beyond) if part)


def shades_for(width: int) -> int:
    """How many shades the legend has room to show; no other is drawn."""
    return next((shades for shades, least in ((LEVELS, 96), (LEVELS // 2, 64)) if width >= least), LEVELS // 4)


def _bar(pyramid: Pyramid, brush: Brush, look: MapStyle) -> Line:
    """Every shade that is drawn, two in a column."""
    scale = pyramid.scale
    columns = brush.shades // 2
    codes = [scale.code(level) for level in shade_levels(brush.shades)]
    bar = [brush.run(key(left, right, HALF), 1) for left, right in zip(codes[::2], codes[1::2], strict=True)]
    if scale.diverging:
        bar.insert(columns // 2, Segment("0", look.label))
    low, high = ends(scale)
    return [Segment(f"{low} ", look.label), *bar, Segment(f" {high}", look.label)]


def ends(scale: Scale) -> tuple[str, str]:
    """The numbers at both ends of a scale, as a legend has them."""
    if scale.kind is ScaleKind.ROWS:
        return ("−row's largest" if scale.diverging else "0"), "row's largest"
    low = f"{'≤' if scale.floor and not scale.diverging else ''}{number(scale.low)}"
    return low, number(scale.high)


def caption_line(
    rows: LabelledAxis, columns: LabelledAxis, cell: tuple[int, int], value: str, width: int, look: MapStyle
) -> Line:
    """`query 5 “·life” → key 3 “·question”  0.1234`: texts are cut before the number is."""
    row, column = cell
    numbers = [str(row + rows.first), str(column + columns.first)]
    names = [f"{rows.name} {numbers[0]}", f"{columns.name} {numbers[1]}"]
    texts = [axis.label(index) if axis.labels else "" for axis, index in ((rows, row), (columns, column))]
    room = width - _fixed(names, texts, value)
    if room < 2 * sum(map(bool, texts)):
        names, texts = numbers, ["", ""]
    if _fixed(names, texts, value) > width:
        return padded([Segment(value, look.title)], width, look)
    texts = _shared(texts, room)
    line: Line = []
    for place, (name, text) in enumerate(zip(names, texts, strict=True)):
        line.append(Segment(f"{' → ' if place else ''}{name}", look.muted))
        if text:
            line += [Segment(" “", look.muted), Segment(text, look.crosshair), Segment("”", look.muted)]
    return padded([*line, Segment(f"  {value}", look.title)], width, look)


def caption_text(text: str, hint: str, width: int, look: MapStyle) -> Line:
    """A line in words, and at its right a hint where there is room."""
    room = width - cell_len(text) - cell_len(hint) - 2
    line: Line = [Segment(fit(text, min(width, cell_len(text))), look.title)]
    if room >= 0:
        line += [Segment(" " * (room + 2), look.ground), Segment(hint, look.muted)]
    return padded(line, width, look)


def _fixed(names: list[str], texts: list[str], value: str) -> int:
    """The columns of a caption with empty texts."""
    return sum(map(cell_len, names)) + 3 * sum(map(bool, texts)) + cell_len(value) + 5


def _shared(texts: list[str], room: int) -> list[str]:
    """Both texts cut to `room` columns together, the longer one first."""
    first, second = (cell_len(text) for text in texts)
    if first + second <= room:
        return texts
    half = room // 2
    give = min(first, max(half, room - second))
    return [fit(texts[0], give), fit(texts[1], min(second, room - give))]


def value_text(value: float, code: int) -> str:
    """A cell's number as the caption shows it."""
    if code == MASKED:
        return "masked"
    if math.isnan(value):
        return "NaN"
    return number(value)


def _width(line: Line) -> int:
    return sum(segment.cell_length for segment in line)

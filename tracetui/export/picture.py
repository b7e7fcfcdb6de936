"""A heatmap as a picture in a file, drawn by matplotlib, which is an extra: `pip install tracetui[plot]`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from tracetui.errors import InputError
from tracetui.export.picture_look import Colours, PictureLook
from tracetui.export.scale_ticks import scale_ticks
from tracetui.recording.value import Array
from tracetui.text import visible
from tracetui.views.heatmap.axes import tick_step
from tracetui.views.heatmap.legend import spread
from tracetui.views.heatmap.pyramid import by_row
from tracetui.views.heatmap.scale import Scale, ScaleKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Format = Literal["png", "svg"]
_MOST_CELLS = 2048
"""Rows and columns of a picture; of larger matrices the greatest of every block is shown."""
_LABELLED = 48
"""Rows or columns up to which each has its token's text."""
_TEXT = 16
"""Characters of a token's text."""
_CONTROL_SIGNS = 0x2400
"""Where Unicode's signs for the control characters begin."""
_TICKS = 24
"""Ticks of a longer axis."""
_PLAIN: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
_ADVICE = "a picture needs matplotlib, which isn't installed: pip install 'tracetui[plot]', or pip install matplotlib"


@dataclass(frozen=True, eq=False, slots=True)
class PictureAxis:
    """What runs along one side."""

    name: str
    labels: Sequence[str] = ()
    """One a place, or none."""
    first: int = 0
    """What the first place is counted as."""


@dataclass(frozen=True, eq=False, slots=True)
class Picture:
    """A matrix and what is said beside it."""

    values: Array
    """[rows, columns]"""
    rows: PictureAxis
    columns: PictureAxis
    title: str
    legend: str
    """What the colours measure."""
    signed: bool = True
    """Whether the colours are symmetric around zero; else they go up from the lowest."""
    lowest: str = "-inf"
    """What a cell of -inf is called: of attention it stands for one that the mask hides."""
    scale: Scale | None = None
    """None: the numbers' own span, linear."""
    subtitle: str = ""
    """Whose numbers they are: the model, the layer, the head, the kind and the prompt."""


def check_matplotlib() -> None:
    """Raise InputError with advice if the plotting library isn't there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(_ADVICE) from error


def draw(heatmap: Picture, kind: Format, file: IO[bytes], look: PictureLook | None = None) -> None:
    """Draw with axes, token labels and a legend; the same heatmap gives the same bytes, whatever the user's style."""
    check_matplotlib()
    look = PictureLook() if look is None else look
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A title's script may have no glyph in the font: then a box stands for it.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(look.settings)
        figure = _figure(heatmap, look, kind == "svg")
        undated: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"metadata": {"Software": None}}
        figure.savefig(file, format=kind, dpi=160, bbox_inches="tight", facecolor=look.colours.ground, **undated)


def _figure(heatmap: Picture, look: PictureLook, written: bool) -> Figure:
    """written: whether texts stay texts, so that whoever shows them has the glyphs."""
    from matplotlib.figure import Figure

    scale = heatmap.scale or own_scale(heatmap.values, heatmap.signed)
    numbers = by_row(heatmap.values) if scale.kind is ScaleKind.ROWS else heatmap.values
    values, step = peaks(numbers, _MOST_CELLS)
    figure = Figure(figsize=_inches(values.shape))
    axes = figure.add_subplot()
    image = _image(axes, values, scale, look.colours)
    _label(axes, "x", heatmap.columns, values.shape[1], step[1], look, written)
    _label(axes, "y", heatmap.rows, values.shape[0], step[0], look, written)
    _title(axes, heatmap, step, look)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label(", ".join(part for part in (heatmap.legend, spread(scale)) if part), parse_math=False)
    ticks, texts = scale_ticks(scale)
    bar.set_ticks(ticks, labels=texts)
    bar.outline.set_visible(False)
    _patches(bar.ax, values, heatmap.lowest, look)
    return figure


def own_scale(values: Array, signed: bool) -> Scale:
    """A linear scale that the finite numbers of a matrix span, around zero or from it."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    reach = max(abs(low), abs(high)) or 1.0
    if signed:
        return Scale(ScaleKind.LINEAR, -reach, reach, diverging=True)
    return Scale(ScaleKind.LINEAR, min(low, 0.0), high if high > min(low, 0.0) else low + 1.0)


def _image(axes: Axes, values: Array, scale: Scale, colours: Colours) -> AxesImage:
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap

    numbers = np.ma.masked_where(~np.isfinite(values), scale.positions(values))
    palette = LinearSegmentedColormap.from_list("map", colours.diverging if scale.diverging else colours.sequential)
    palette.set_bad(colours.masked)
    image = axes.imshow(numbers, cmap=palette, vmin=-1 if scale.diverging else 0, vmax=1, **_PLAIN)
    if np.isnan(values).any():
        nan = np.ma.masked_where(~np.isnan(values), np.zeros(values.shape))
        axes.imshow(nan, cmap=ListedColormap([colours.nan]), **_PLAIN)
    return image


def _patches(beside: Axes, values: Array, lowest: str, look: PictureLook) -> None:
    """A legend below the colours for cells that have no number: there are no labels in its way."""
    from matplotlib.patches import Patch

    colours = look.colours
    kinds = (
        (lowest, colours.masked, np.isneginf),
        ("+inf", colours.masked, np.isposinf),
        ("NaN", colours.nan, np.isnan),
    )
    patches = [Patch(color=colour, label=name) for name, colour, test in kinds if test(values).any()]
    if patches:
        size = look.font_size - 1
        beside.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.6, -0.01), frameon=False, fontsize=size)


def _title(axes: Axes, heatmap: Picture, step: tuple[int, int], look: PictureLook) -> None:
    lines = [visible(heatmap.title, 110)]
    lines += [visible(heatmap.subtitle, 110)] if heatmap.subtitle else []
    lines += [f"1 pixel = max of {step[0]}×{step[1]} cells"] if step != (1, 1) else []
    axes.set_title("\n".join(lines), loc="left", fontsize=look.font_size + 1, parse_math=False)


def _label(
    axes: Axes, side: Literal["x", "y"], axis: PictureAxis, count: int, step: int, look: PictureLook, written: bool
) -> None:
    """Ticks at round numbers, with the token's text where there is one: of each, or of every k-th."""
    line = axes.xaxis if side == "x" else axes.yaxis
    line.set_label_text(axis.name, parse_math=False)
    every = 1 if axis.labels and count * step <= _LABELLED else tick_step(math.ceil(count * step / _TICKS))
    first = -axis.first % every
    numbers = range(axis.first + first, axis.first + count * step, every)
    texts = [_tick(axis, number, written) for number in numbers]
    places = [(number - axis.first) / step - (0.5 - 0.5 / step) for number in numbers]
    turned = 90 if side == "x" and axis.labels else 0
    line.set_ticks(places, texts, fontsize=look.font_size - 2, parse_math=False, rotation=turned)


def _tick(axis: PictureAxis, number: int, written: bool) -> str:
    place = number - axis.first
    if place >= len(axis.labels):
        return f"{number:,}"
    text = axis.labels[place]
    return f"{visible(text, _TEXT) if written else drawable(text)} {number}"


def drawable(text: str) -> str:
    """A token's text with the characters that the font has no glyph for by number: boxes would all look alike."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    chars = (char if font.get_char_index(ord(char)) else _numbered(ord(char)) for char in visible(text, _TEXT))
    return visible("".join(chars), _TEXT)


def _numbered(code: int) -> str:
    """`<0x1B>` for the sign that stands for a control character, else `<U+6F22>`."""
    return f"<0x{code - _CONTROL_SIGNS:02X}>" if 0 <= code - _CONTROL_SIGNS < 0x20 else f"<U+{code:04X}>"


def _inches(shape: tuple[int, ...]) -> tuple[float, float]:
    """Square cells as far as a page allows."""
    rows, columns = (max(1, length) for length in shape)
    side = 7.0
    cell = min(side / max(rows, columns), 0.32)
    return max(columns * cell, 2.4) + 1.4, max(rows * cell, 2.0) + 0.8


def peaks(values: Array, most: int) -> tuple[Array, tuple[int, int]]:
    """The matrix with at most `most` rows and columns, and how many cells each stands for: of a block the greatest.

    Greatest is by magnitude; NaN comes first, and -inf shows only where there is nothing else.
    """
    rows, columns = (max(1, math.ceil(length / most)) for length in values.shape)
    if (rows, columns) == (1, 1):
        return values, (1, 1)
    return _peaks(_peaks(values, rows, 0), columns, 1), (rows, columns)


def _peaks(values: Array, step: int, axis: int) -> Array:
    moved = np.moveaxis(values, axis, 0)
    padded = np.full((math.ceil(len(moved) / step) * step, moved.shape[1]), -np.inf, moved.dtype)
    padded[: len(moved)] = moved
    blocks = padded.reshape(-1, step, moved.shape[1])  # [cells, step, other]
    weight = np.where(np.isnan(blocks), np.inf, np.where(np.isneginf(blocks), -1, np.abs(blocks)))
    best = weight.argmax(axis=1, keepdims=True)  # [cells, 1, other]
    return np.moveaxis(np.take_along_axis(blocks, best, axis=1)[:, 0], 0, axis)

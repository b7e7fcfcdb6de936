"""A heatmap as a picture in a file, drawn by matplotlib, which is an extra: `pip install tracetui[plot]`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from tracetui.errors import InputError
from tracetui.recording.value import Array
from tracetui.text import visible

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
_MASKED, _NAN = "#c9ccd1", "#d81b60"
_PLAIN: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
_ADVICE = "a picture needs matplotlib, which isn't installed: pip install 'tracetui[plot]', or pip install matplotlib"


@dataclass(frozen=True, eq=False, slots=True)
class PictureAxis:
    """What runs along one side."""

    name: str
    labels: Sequence[str] = ()
    """One a place, or none."""


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


def check_matplotlib() -> None:
    """Raise InputError with advice if the plotting library isn't there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(_ADVICE) from error


def draw(heatmap: Picture, kind: Format, file: IO[bytes]) -> None:
    """Draw with axes, token labels and a legend; the same heatmap gives the same bytes, whatever the user's style."""
    check_matplotlib()
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A title's script may have no glyph in the font: then a box stands for it.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "tracetui", "font.size": 9, "axes.edgecolor": "#8a8f98"})
        figure = _figure(heatmap)
        undated: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"metadata": {"Software": None}}
        figure.savefig(file, format=kind, dpi=160, bbox_inches="tight", facecolor="white", **undated)


def _figure(heatmap: Picture) -> Figure:
    from matplotlib.figure import Figure

    values, step = peaks(heatmap.values, _MOST_CELLS)
    figure = Figure(figsize=_inches(values.shape))
    axes = figure.add_subplot()
    image = _image(axes, values, heatmap.signed)
    _label(axes, "x", heatmap.columns, values.shape[1], step[1])
    _label(axes, "y", heatmap.rows, values.shape[0], step[0])
    axes.set_title(_fit(heatmap.title, step), loc="left", fontsize=10, parse_math=False)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label(heatmap.legend, parse_math=False)
    bar.outline.set_visible(False)
    _patches(bar.ax, values, heatmap.lowest)
    return figure


def _image(axes: Axes, values: Array, signed: bool) -> AxesImage:
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    reach = max(abs(low), abs(high)) or 1.0
    limits = (-reach, reach) if signed else (min(low, 0.0), high if high > low else low + 1.0)
    numbers = np.ma.masked_invalid(values.astype(np.float64))
    palette = "RdBu_r" if signed else "viridis"
    image = axes.imshow(numbers, cmap=palette, vmin=limits[0], vmax=limits[1], **_PLAIN)
    image.cmap.set_bad(_MASKED)
    if np.isnan(values).any():
        from matplotlib.colors import ListedColormap

        nan = np.ma.masked_where(~np.isnan(values), np.zeros(values.shape))
        axes.imshow(nan, cmap=ListedColormap([_NAN]), **_PLAIN)
    return image


def _patches(beside: Axes, values: Array, lowest: str) -> None:
    """A legend below the colours for cells that have no number: there are no labels in its way."""
    from matplotlib.patches import Patch

    kinds = ((lowest, _MASKED, np.isneginf), ("+inf", _MASKED, np.isposinf), ("NaN", _NAN, np.isnan))
    patches = [Patch(color=colour, label=name) for name, colour, test in kinds if test(values).any()]
    if patches:
        beside.legend(handles=patches, loc="upper left", bbox_to_anchor=(-0.6, -0.01), frameon=False, fontsize=8)


def _label(axes: Axes, side: Literal["x", "y"], axis: PictureAxis, count: int, step: int) -> None:
    line = axes.xaxis if side == "x" else axes.yaxis
    line.set_label_text(axis.name, parse_math=False)
    if not axis.labels or count > _LABELLED or step > 1:
        places = np.unique(np.linspace(0, count - 1, min(count, 9)).astype(int)) if count else np.arange(0)
        line.set_ticks(places, [f"{place * step:,}" for place in places])
        return
    texts = [f"{drawable(text)} {place}" for place, text in enumerate(axis.labels[:count])]
    line.set_ticks(np.arange(len(texts)), texts, fontsize=7, parse_math=False, rotation=90 if side == "x" else 0)


def drawable(text: str) -> str:
    """A token's text with the characters that the font has no glyph for by number: boxes would all look alike."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    chars = (char if font.get_char_index(ord(char)) else _numbered(ord(char)) for char in visible(text, _TEXT))
    return visible("".join(chars), _TEXT)


def _numbered(code: int) -> str:
    """`<0x1B>` for the sign that stands for a control character, else `<U+6F22>`."""
    return f"<0x{code - _CONTROL_SIGNS:02X}>" if 0 <= code - _CONTROL_SIGNS < 0x20 else f"<U+{code:04X}>"


def _fit(title: str, step: tuple[int, int]) -> str:
    text = visible(title, 110)
    return text if step == (1, 1) else f"{text}\npeak of every {step[0]}×{step[1]} cells"


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

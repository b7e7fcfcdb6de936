"""What the screen's colours mean: variables beyond Textual's own, their defaults, and the styles made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.style import Style
from textual.color import Color
from textual.theme import Theme

from tracetui.views.inks import Inks

READABLE = 4.5
"""Least contrast of text with its ground, as WCAG AA has it."""

MEANINGS: Mapping[str, str] = {
    "quiet": "labels, indices, units",
    "rule": "hairlines, axes, borders at rest",
    "track": "the part of a bar that is not filled",
    "bar": "the filled part",
    "cursor": "ground of the row or cell where you are",
    "cursor-text": "text on it",
    "frontier": "how far the model has run",
    "stop": "breakpoints",
    "running": "the model runs",
    "waiting": "the model waits for you; the point where you are in a chart",
    "residual": "the residual stream: its line, its sites",
    "role": "what a module computes inside: `:q`, `:probs`",
    "special": "special tokens",
    "positive": "numbers above zero",
    "negative": "numbers below zero",
    "zero": "zeros",
    "nan": "NaN",
    "inf": "infinities",
    "provenance-file": "weights from a file",
    "provenance-random": "random weights",
    "provenance-dequantised": "weights turned back from a quantised form",
    "provenance-edited": "weights or tensors that you changed",
}
"""The variables that a theme may set in `[variables]`, each an opaque colour."""

_SOURCES = {
    "bar": "primary",
    "frontier": "success",
    "stop": "error",
    "running": "success",
    "waiting": "accent",
    "residual": "primary",
    "role": "secondary",
    "special": "secondary",
    "positive": "accent",
    "negative": "primary",
    "nan": "error",
    "inf": "warning",
    "provenance-file": "success",
    "provenance-dequantised": "secondary",
    "provenance-edited": "warning",
}
_ANSI_REST = {
    "quiet": "ansi_default",
    "rule": "ansi_bright_black",
    "track": "ansi_bright_black",
    "cursor": "ansi_blue",
    "cursor-text": "ansi_bright_white",
    "zero": "ansi_default",
    "provenance-random": "ansi_default",
}
_RAMP = (0.25, 0.5, 0.75, 1.0)


def default_variables(theme: Theme) -> dict[str, str]:
    """Every variable of MEANINGS, derived from the theme's own colours: for themes that don't set them."""
    colours = theme.to_color_system().generate()
    if theme.ansi:
        return _ANSI_REST | {name: colours[source] for name, source in _SOURCES.items()}
    ground, text = Color.parse(colours["background"]), Color.parse(colours["foreground"])
    grounds = [ground, Color.parse(colours["surface"]), Color.parse(colours["panel"])]
    quiet = readable(text.blend(ground, 0.35), grounds)
    cursor = ground.blend(Color.parse(colours["primary"]), 0.3)
    derived = {
        "quiet": quiet,
        "rule": text.blend(ground, 0.75),
        "track": text.blend(ground, 0.88),
        "cursor": cursor,
        "cursor-text": readable(text, [cursor]),
        "zero": quiet,
        "provenance-random": quiet,
    }
    derived |= {name: readable(Color.parse(colours[source]), grounds) for name, source in _SOURCES.items()}
    return {name: colour.hex6 for name, colour in derived.items()}


_MADE: list[tuple[Mapping[str, str], Inks]] = []
"""Of the theme in use: its variables, and the styles made of them."""


def contrast(one: Color, other: Color) -> float:
    """WCAG's contrast ratio of two opaque colours, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Color) -> float:
    """Relative luminance as WCAG defines it, 0 to 1."""
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (colour.r / 255, colour.g / 255, colour.b / 255)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable(colour: Color, grounds: Sequence[Color], ratio: float = READABLE) -> Color:
    """The colour, moved towards white or black just as far as text on all the grounds needs."""
    extreme = max(Color(255, 255, 255), Color(0, 0, 0), key=lambda end: min(contrast(end, each) for each in grounds))
    steps = (colour.blend(extreme, step / 20) for step in range(20))
    return next((step for step in steps if min(contrast(step, each) for each in grounds) >= ratio), extreme)


def inks(variables: Mapping[str, str]) -> Inks:
    """The styles of the small views, from the variables of the theme in use (`App.theme_variables`).

    An application makes its variables anew for each theme, so that the styles of the same ones are made once.
    """
    if not _MADE or _MADE[0][0] is not variables:
        _MADE[:] = [(variables, _inks(variables))]
    return _MADE[0][1]


def _inks(variables: Mapping[str, str]) -> Inks:
    colour = {name: Color.parse(variables[name]) for name in (*MEANINGS, "foreground")}
    quiet = colour["quiet"]
    return Inks(
        text=_foreground(colour["foreground"]),
        quiet=_foreground(quiet),
        faint=_between(colour["rule"], quiet),
        rule=_foreground(colour["rule"]),
        bar=_foreground(colour["bar"]),
        track=Style.from_color(bgcolor=colour["track"].rich_color),
        line=_foreground(colour["residual"]),
        cursor=Style.from_color(colour["cursor-text"].rich_color, colour["cursor"].rich_color),
        mark=_foreground(colour["waiting"]) + Style(bold=True),
        positive=_ramp(quiet, colour["positive"]),
        negative=_ramp(quiet, colour["negative"]),
        zero=_foreground(colour["zero"]),
        nan=_foreground(colour["nan"]) + Style(bold=True, reverse=True),
        inf=_foreground(colour["inf"]) + Style(bold=True, reverse=True),
        stop=_foreground(colour["stop"]),
        special=_foreground(colour["special"]) + Style(italic=True),
    )


def _foreground(colour: Color) -> Style:
    return Style.from_color(colour.rich_color)


def _between(one: Color, other: Color) -> Style:
    """Terminal colours can't be mixed: the first then."""
    return _foreground(one if one.ansi is not None or other.ansi is not None else one.blend(other, 0.5))


def _ramp(faint: Color, full: Color) -> tuple[Style, ...]:
    """From small to large magnitude; terminal colours, which can't be mixed, have only the full one."""
    if faint.ansi is not None or full.ansi is not None:
        return (_foreground(full),)
    return tuple(_foreground(faint.blend(full, share)) for share in _RAMP)

"""One theme file: TOML with the fields of Textual's Theme and the heatmap's colours, checked field by field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.css.constants import VALID_STYLE_FLAGS
from textual.theme import Theme

from tracetui.errors import InputError, bad_field
from tracetui.formats.toml import TomlError, parse_toml
from tracetui.paths import read_bounded
from tracetui.ui.theme.variables import MEANINGS, default_variables, luminance
from tracetui.views.palette import Lab, Palette, oklab

_LIMIT = 64 << 10
_COLOURS = (
    "primary",
    "secondary",
    "accent",
    "foreground",
    "background",
    "surface",
    "panel",
    "success",
    "warning",
    "error",
)
_SHARES = ("luminosity_spread", "text_alpha")
_FIELDS = frozenset({"name", "dark", "boost", "variables", "heatmap", *_COLOURS, *_SHARES})
_HEATMAP_FIELDS = frozenset({"sequential", "diverging", "nan", "masked"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,39}")
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_WITH_OPACITY = re.compile(r"(.+?)(?:\s+\d{1,3}%)?")
_MOST_STOPS = 32
_LEAST_SIGNS = 0.12
"""In OKLab, between the colours of the lowest number and of the highest: signs must be told apart."""
_SIGNS = {True: ("#6ab4f0", "#f5ab71"), False: ("#1853a5", "#9d420d")}
"""For themes whose own colours are too much alike, by whether they are dark."""
_LEAST_SPAN = 0.4
"""Of lightness, from zero to either end."""


@dataclass(frozen=True, slots=True)
class HeatmapColours:
    """A theme's colours for numbers, each `#rrggbb`."""

    sequential: tuple[str, ...]
    """From the lowest number to the highest, steadily lighter or steadily darker."""
    diverging: tuple[str, ...]
    """From the lowest number over zero, in the middle, to the highest."""
    nan: str
    masked: str

    def palettes(self, name: str) -> tuple[Palette, Palette]:
        """The sequential and the diverging palette."""
        return (
            Palette.from_anchors(f"{name} sequential", self.sequential, self.nan, self.masked),
            Palette.from_anchors(f"{name} diverging", self.diverging, self.nan, self.masked, diverging=True),
        )


@dataclass(frozen=True, slots=True)
class ThemeFile:
    """A theme: what Textual needs, and what the heatmap needs."""

    theme: Theme
    heatmap: HeatmapColours
    path: Path


def read_theme(path: Path) -> tuple[ThemeFile, list[str]]:
    """A theme file, and a warning for every field that nothing uses.

    Raises InputError with a line for every field that is wrong, each `file: field: problem, got …`.
    """
    try:
        table = parse_toml(read_bounded(path, _LIMIT))
    except TomlError as error:
        raise InputError(f"{path}: {error}") from error
    check = _ThemeCheck(path)
    theme = check.theme(table)
    heatmap = check.heatmap(table.get("heatmap"), theme)
    if check.wrong:
        raise InputError("\n".join(check.wrong))
    return ThemeFile(theme, heatmap, path), check.unused


class _ThemeCheck:
    """Collects what is wrong with a file; what it returns counts only if nothing is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wrong: list[str] = []
        self.unused: list[str] = []

    def _wrong(self, field: str, problem: str, found: object | None = None) -> None:
        self.wrong.append(str(bad_field(self.path, field, problem, found)))

    def _unused(self, table: Mapping[str, object], known: frozenset[str], prefix: str = "") -> None:
        for field in table:
            if field not in known:
                self.unused.append(str(bad_field(self.path, f"{prefix}{field}", "is not a field of a theme; ignored")))

    def theme(self, table: Mapping[str, object]) -> Theme:
        self._unused(table, _FIELDS)
        fields: dict[str, Any] = {name: table[name] for name in _COLOURS if self._opaque(table, name, name)}
        fields |= {name: table[name] for name in _SHARES if self._share(table, name)}
        if self._boost(table):
            fields["boost"] = table["boost"]
        if "primary" not in table:
            self._wrong("primary", "is missing: a theme needs at least a name and this colour")
        theme = Theme(**({"primary": "#808080"} | fields), name=self._name(table), dark=self._dark(table))
        theme.variables = self._variables(table.get("variables", {}), theme)
        return theme

    def _name(self, table: Mapping[str, object]) -> str:
        name = table.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._wrong("name", "must be up to 40 letters, digits, blanks and `_.-`", name)
        return str(name)

    def _dark(self, table: Mapping[str, object]) -> bool:
        dark = table.get("dark", True)
        if not isinstance(dark, bool):
            self._wrong("dark", "must be true or false", dark)
        return bool(dark)

    def _boost(self, table: Mapping[str, object]) -> bool:
        """The one colour of a theme's own fields that may be transparent."""
        if not self._text(table, "boost", "boost"):
            return False
        if parsed(str(table["boost"])) is not None:
            return True
        self._wrong("boost", 'must be a colour, as in "#ffffff0a"', table["boost"])
        return False

    def _variables(self, table: object, theme: Theme) -> dict[str, str]:
        if not isinstance(table, dict):
            self._wrong("variables", "must be a table", table)
            return {}
        defaults = theme.to_color_system().generate()
        self._unused(table, frozenset(defaults) | frozenset(MEANINGS), "variables.")
        kept = {name: value for name, value in table.items() if name in MEANINGS and self._meaning(table, name)}
        kept |= {name: value for name, value in table.items() if name in defaults and self._own(table, name, defaults)}
        try:
            replace(theme, variables=kept).to_color_system().generate()
        except ColorParseError as error:
            self._wrong("variables", f"Textual can't mix its shades: {error}")
            return {}
        return kept

    def _meaning(self, table: Mapping[str, object], name: str) -> bool:
        return self._opaque(table, name, f"variables.{name}")

    def _own(self, table: Mapping[str, object], name: str, defaults: Mapping[str, str]) -> bool:
        """Whether a variable of Textual's own has a value that its style sheets can use."""
        field, default = f"variables.{name}", defaults[name]
        if not self._text(table, name, field):
            return False
        value = str(table[name])
        if "style" in name.split("-"):
            return self._styles(value, field)
        found = _WITH_OPACITY.fullmatch(value)
        base = found[1] if found else ""
        if value == default or parsed(base) is not None or (base == "auto" and default.startswith("auto")):
            return True
        self._wrong(field, 'must be a colour, as in "#7fb0e0" or "#7fb0e0 60%"', value)
        return False

    def _styles(self, value: str, field: str) -> bool:
        if value.split() and all(word in VALID_STYLE_FLAGS for word in value.split()):
            return True
        self._wrong(field, f"must be made of the words {', '.join(sorted(VALID_STYLE_FLAGS))}", value)
        return False

    def _text(self, table: Mapping[str, object], name: str, field: str) -> bool:
        if name in table and not isinstance(table[name], str):
            self._wrong(field, "must be a string", table[name])
            return False
        return name in table

    def _opaque(self, table: Mapping[str, object], name: str, field: str) -> bool:
        if not self._text(table, name, field):
            return False
        colour = parsed(str(table[name]))
        if colour is not None and colour.a == 1:
            return True
        self._wrong(field, 'must be an opaque colour, as in "#7fb0e0"', table[name])
        return False

    def _share(self, table: Mapping[str, object], name: str) -> bool:
        share = table.get(name)
        if share is None:
            return False
        if isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1:
            return True
        self._wrong(name, "must be a number from 0 to 1", share)
        return False

    def heatmap(self, table: object, theme: Theme) -> HeatmapColours:
        derived = default_heatmap(theme)
        if table is None:
            return derived
        if not isinstance(table, dict):
            self._wrong("heatmap", "must be a table", table)
            return derived
        self._unused(table, _HEATMAP_FIELDS, "heatmap.")
        return HeatmapColours(
            self._stops(table, "sequential", derived.sequential),
            self._stops(table, "diverging", derived.diverging),
            self._hex(table.get("nan", derived.nan), "heatmap.nan"),
            self._hex(table.get("masked", derived.masked), "heatmap.masked"),
        )

    def _hex(self, value: object, field: str) -> str:
        if isinstance(value, str) and _HEX.fullmatch(value):
            return value
        self._wrong(field, 'must be a colour written "#rrggbb"', value)
        return "#808080"

    def _stops(self, table: Mapping[str, object], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        stops, field = table.get(name, list(default)), f"heatmap.{name}"
        if not isinstance(stops, list) or not 2 <= len(stops) <= _MOST_STOPS:
            self._wrong(field, f"must be a list of 2 to {_MOST_STOPS} colours", stops)
            return default
        colours = tuple(self._hex(stop, f"{field}[{at}]") for at, stop in enumerate(stops))
        if name == "diverging" and len(colours) % 2 == 0:
            self._wrong(field, "must have an odd number of colours: the middle one is zero", len(colours))
        if name == "sequential" and not steady(colours):
            self._wrong(field, "must grow steadily lighter or steadily darker", stops)
        return colours


def parsed(text: str) -> Color | None:
    """A colour that can be mixed, or None: one of the terminal's own sixteen can't."""
    try:
        colour = Color.parse(text)
    except ColorParseError:
        return None
    return colour if colour.ansi is None and not colour.auto else None


def steady(colours: Sequence[str]) -> bool:
    """Whether luminance only rises or only falls, so that a larger number always looks it."""
    lights = [luminance(Color.parse(colour)) for colour in colours]
    rises = [after - before for before, after in pairwise(lights)]
    return all(rise > 0 for rise in rises) or all(rise < 0 for rise in rises)


def default_heatmap(theme: Theme) -> HeatmapColours:
    """Colours for numbers out of a theme's own: for themes that bring none, Textual's included."""
    if theme.ansi:
        around_zero = ("#4090ff", "#202020", "#ffa040")
        return HeatmapColours(("#141b38", "#1f6a96", "#2fb09a", "#f4f2a8"), around_zero, "#ff40c0", "#303030")
    colours = theme.to_color_system().generate() | default_variables(theme)
    ground, text = Color.parse(colours["background"]), Color.parse(colours["foreground"])
    low, middle = ground.blend(text, 0.08), Color.parse(colours["primary"])
    steps = [low, middle, text] if steady([low.hex6, middle.hex6, text.hex6]) else [low, text]
    negative, positive = (_far(Color.parse(colours[name]), low, text) for name in ("negative", "positive"))
    if math.dist(_lab(negative), _lab(positive)) < _LEAST_SIGNS:
        negative, positive = map(Color.parse, _SIGNS[theme.dark])
    ends = [negative, low, positive]
    return HeatmapColours(
        tuple(step.hex6 for step in steps),
        tuple(end.hex6 for end in ends),
        Color.parse(colours["error"]).hex6,
        ground.blend(text, 0.2).hex6,
    )


def _far(end: Color, low: Color, text: Color) -> Color:
    """The colour, moved towards the text's just as far as a scale that begins at `low` needs."""
    steps = (end.blend(text, step / 10) for step in range(10))
    return next((step for step in steps if abs(_lab(step)[0] - _lab(low)[0]) >= _LEAST_SPAN), text)


def _lab(colour: Color) -> Lab:
    return oklab(colour.r << 16 | colour.g << 8 | colour.b)

"""A configuration as plain lines of text: each field's value, meaning, and the shapes that it decides."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from rich.cells import cell_len

from tracetui.recipe.fields.field import ConfigField, ConfigReport, DecidedShape, Decides, FieldOrigin
from tracetui.text import visible
from tracetui.views.cells import fit

WIDTH = 80
_VALUE_LIMIT = 200
_LISTED = 24
_ORIGINS = {
    FieldOrigin.GIVEN: "",
    FieldOrigin.DEFAULT: "default",
    FieldOrigin.DERIVED: "follows from the others",
    FieldOrigin.UNDECLARED: "unknown to its class",
}
_UNEXPLAINED = (
    "No explanation is known.",
    "Nothing is known of it: this family's configuration declares no such field.",
)


class LineKind(Enum):
    """What a line is, for whoever colours it."""

    TITLE = "title"
    ALERT = "alert"
    HEADING = "heading"
    FIELD = "field"
    """The first line of a field: its name, value and origin."""
    UNKNOWN = "unknown"
    """The same of a field that its class doesn't declare."""
    TEXT = "text"
    SHAPES = "shapes"


@dataclass(frozen=True, slots=True)
class ConfigLine:
    """One line of the report."""

    text: str
    kind: LineKind
    field: str = ""
    """The field that it is about."""


def config_lines(report: ConfigReport, width: int = WIDTH) -> Iterator[str]:
    """What `tracetui config` prints."""
    return (line.text for line in config_report_lines(report, width))


def config_report_lines(report: ConfigReport, width: int = WIDTH) -> Iterator[ConfigLine]:
    """The report line by line: what it is of, contradictions, then every field."""
    yield from _wrapped(
        f"{report.name}: a {report.family}, read by transformers' {report.class_name}", width, "", "", LineKind.TITLE
    )
    for line in report.contradictions:
        yield from _wrapped(f"! {line}", width, "", kind=LineKind.ALERT)
    if report.params:
        yield from _heading(f"{report.language}'s fields, and what becomes of them", width)
        for field in report.params:
            yield from _field(field, width)
        yield from _heading("transformers' fields, made from these; * axes that a field sets", width)
    else:
        yield from _heading("the file's fields, then what its class adds; * axes that a field sets", width)
    for field in report.fields:
        yield from _field(field, width)


def _heading(text: str, width: int) -> Iterator[ConfigLine]:
    yield ConfigLine("", LineKind.TEXT)
    yield from _wrapped(f"── {text}", width, "", "   ", LineKind.HEADING)
    yield ConfigLine("", LineKind.TEXT)


def _field(field: ConfigField, width: int) -> Iterator[ConfigLine]:
    yield from (replace(line, field=field.name) for line in _told(field, width))


def _told(field: ConfigField, width: int) -> Iterator[ConfigLine]:
    yield from _first_line(field, width)
    text = field.explanation or _UNEXPLAINED[field.origin is FieldOrigin.UNDECLARED]
    yield from _wrapped(f"{text} ({field.source})" if field.source else text, width)
    if field.said is not None:
        yield from _wrapped(f"The file says {_value(field.said)}; its class makes it {_value(field.value)}.", width)
    if field.becomes:
        becomes = ", ".join(f"{name} {_value(value)}" for name, value in field.becomes)
        yield from _wrapped(f"→ {becomes}", width, then="    ")
    yield from _decides(field.decides, width)


def _first_line(field: ConfigField, width: int) -> Iterator[ConfigLine]:
    """Name and value, and at the right edge where the value comes from."""
    kind = LineKind.UNKNOWN if field.origin is FieldOrigin.UNDECLARED else LineKind.FIELD
    right = _ORIGINS[field.origin]
    left = f"{visible(field.name, 60)} = {_value(field.value)}"
    if cell_len(left) + cell_len(right) + 2 <= width:
        yield ConfigLine(f"{left}{fit(right, width - cell_len(left), right=True)}".rstrip(), kind)
        return
    first, *rest = _wrapped(left, width, "", "    ", kind)
    yield from (first, *(replace(line, kind=LineKind.TEXT) for line in rest))
    if right:
        yield ConfigLine(fit(right, width, right=True), LineKind.TEXT)


def _decides(decides: Decides, width: int) -> Iterator[ConfigLine]:
    shapes = [shape for shape in decides.shapes if shape.axes]
    counted = [shape.name for shape in decides.shapes if not shape.axes]
    if shapes:
        yield from _listed("sets", [_shape(shape) for shape in shapes], width)
    if counted or decides.placed:
        yield from _listed("how many of", [*counted, *decides.placed], width)
    if decides.present:
        yield from _listed("whether there is", list(decides.present), width)


def _listed(label: str, names: list[str], width: int) -> Iterator[ConfigLine]:
    first = [name.removesuffix(".weight") for name in names[:_LISTED]]
    more = [f"{len(names) - _LISTED} more"] if len(names) > _LISTED else []
    yield from _wrapped(f"{label}: {', '.join([*first, *more])}", width, then="    ", kind=LineKind.SHAPES)


def _shape(decided: DecidedShape) -> str:
    """`q_proj [3584*, 3584]`, its blanks such that no line ends inside."""
    lengths = (f"{length}{'*' if axis in decided.axes else ''}" for axis, length in enumerate(decided.shape))
    return f"{decided.name.removesuffix('.weight')}\N{NO-BREAK SPACE}[{f',{chr(160)}'.join(lengths)}]"


def _value(value: object) -> str:
    """As JSON, a long list of one value as `28 × "full_attention"`."""
    if isinstance(value, list) and len(value) > 3 and all(each == value[0] for each in value):
        return f"{len(value)} × {_value(value[0])}"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        text = str(value)
    return visible(text, _VALUE_LIMIT)


def _wrapped(
    text: str, width: int, first: str = "  ", then: str = "  ", kind: LineKind = LineKind.TEXT
) -> Iterator[ConfigLine]:
    """The text made visible and wrapped, its first line and those after it indented."""
    for line in textwrap.wrap(
        visible(text, 4000), width, initial_indent=first, subsequent_indent=then, break_on_hyphens=False
    ):
        yield ConfigLine(fit(line.replace("\N{NO-BREAK SPACE}", " "), width).rstrip(), kind)

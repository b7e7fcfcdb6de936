"""From a place in the model to the configuration's fields behind it."""

from __future__ import annotations

import re

from tracetui.recipe.fields.field import ConfigField, ConfigReport

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")


def deciding(report: ConfigReport, place: str) -> tuple[str, ...]:
    """The fields that set the shape of a tensor at or below a place such as `self_attn.q_proj`, layers left out."""
    start = f"{_NUMBER.sub('N', place)}."
    return tuple(field.name for field in report.fields if _sets(field, start))


def _sets(field: ConfigField, start: str) -> bool:
    return any(shape.axes and shape.name.startswith(start) for shape in field.decides.shapes)

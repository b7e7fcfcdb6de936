"""Untrusted JSON or TOML tables whose field names aren't known beforehand, read one by one within limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tracetui.errors import bad_field
from tracetui.formats.json_text import parse_json_object
from tracetui.paths import read_bounded
from tracetui.text import visible

MAX_CONFIG_BYTES = 16 * 2**20
_MAX_DEPTH = 16
_MAX_INT = 2**53
_MAX_STRING = 10_000
FLOAT32_LEAST, FLOAT32_MOST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
"""The sizes of numbers that float32 holds at full width, in which what a configuration names is computed."""


def read_json_object(path: Path, limit: int = MAX_CONFIG_BYTES) -> dict[str, object]:
    """The JSON object in a file.

    Refused as InputError: duplicate keys, NaN and Infinity, integers beyond 2^53, nesting beyond 16,
    a file that is no UTF-8 or no JSON object.
    """
    document = parse_json_object(read_bounded(path, limit), path)
    check_plain(document, path)
    return document


def check_plain(fields: Mapping[str, object], where: str | Path) -> None:
    """Refuse values that no configuration needs: huge, deep, not finite."""
    for key, value in fields.items():
        _check(value, where, visible(str(key), 80), 1)


def _check(value: object, where: str | Path, field: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise bad_field(where, field, "is nested too deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(inner, where, f"{field}.{visible(str(key), 80)}", depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check(inner, where, f"{field}[{index}]", depth + 1)
    elif isinstance(value, str) and len(value) > _MAX_STRING:
        raise bad_field(where, field, f"is a text of {len(value):,} characters, more than {_MAX_STRING:,}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise bad_field(where, field, "must be finite", value)
    elif isinstance(value, int) and abs(value) > _MAX_INT:
        raise bad_field(where, field, "is too large", value)


class Fields:
    """Typed access to the fields of one object; every complaint names the file and the field."""

    def __init__(self, found: Mapping[str, object], where: str | Path, prefix: str = "") -> None:
        self.found = found
        self.where = where
        self.prefix = prefix

    def fail(self, field: str, problem: str) -> NoReturn:
        raise bad_field(self.where, self.prefix + field, problem, self.found.get(field))

    def integer(self, field: str, default: int | None = None, least: int = 1, most: int = 2**31 - 1) -> int:
        """A real int (no bool, no 4.0) within limits; a missing one without default is an error."""
        value = self.found.get(field)
        if value is None and default is not None:
            return default
        if value is None:
            raise bad_field(self.where, self.prefix + field, "is missing, an integer is needed")
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(field, "must be an integer")
        if not least <= value <= most:
            self.fail(field, f"must be between {least} and {most:,}")
        return value

    def number(self, field: str, default: float, above: float = 0.0, most: float = 1e12) -> float:
        """A finite number above a limit; the default where it is missing or null."""
        value = self.found.get(field)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.fail(field, "must be a number")
        if not (math.isfinite(value) and above < value <= most):
            self.fail(field, f"must be above {above:g} and at most {most:g}")
        if 0 < value < FLOAT32_LEAST:
            self.fail(field, f"must be at least {FLOAT32_LEAST:.2g}, as float32 has no smaller numbers")
        return float(value)

    def flag(self, field: str, default: bool = False) -> bool:
        value = self.found.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fail(field, "must be true or false")
        return value

    def text(self, field: str, default: str | None = None) -> str:
        value = self.found.get(field, default)
        if value is None:
            raise bad_field(self.where, self.prefix + field, "is missing, a text is needed")
        if not isinstance(value, str):
            self.fail(field, "must be a text")
        return value

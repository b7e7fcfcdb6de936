"""JSON and plain values from strangers: read into bounded types before anything uses them."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from tracetui.errors import InputError, bad_field
from tracetui.paths import read_bounded
from tracetui.text import visible

MAX_CONFIG_BYTES = 16 * 2**20
_MAX_DEPTH = 16
_MAX_INT = 2**53
_MAX_DIGITS = 17
_MAX_STRING = 10_000


def read_json_object(path: Path, limit: int = MAX_CONFIG_BYTES) -> dict[str, object]:
    """The JSON object in a file.

    Refused as InputError: duplicate keys, NaN and Infinity, integers beyond 2^53, nesting beyond 16,
    a file that is no UTF-8 or no JSON object.
    """
    document = parse_json_object(read_bounded(path, limit), path)
    check_plain(document, path)
    return document


def parse_json_object(
    content: bytes, path: Path, most_objects: int = 1_000_000, most_digits: int = _MAX_DIGITS
) -> dict[str, object]:
    """The JSON object in a file's bytes, its values not looked at yet.

    Refused as InputError: duplicate keys, NaN and Infinity, integers of more than `most_digits` digits, more objects
    than `most_objects`, text that is no UTF-8 or no JSON object.
    """
    hooks = _Hooks(path, most_objects, most_digits)
    # Asked of every number alone, it would take half of the time that a long header does.
    integer = hooks.integer if re.search(rb"\d{%d}" % (most_digits + 1), content) else None
    try:
        document = json.loads(content, object_pairs_hook=hooks.unique, parse_constant=hooks.refuse, parse_int=integer)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text, at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: is not JSON: {visible(error.msg, 80)}") from error
    except RecursionError:
        raise InputError(f"{path}: is nested too deep") from None
    if not isinstance(document, dict):
        raise InputError(f"{path}: must hold a JSON object, got {type(document).__name__}")
    return document


class _Hooks:
    """What json.loads is told to do with the parts of one file."""

    def __init__(self, path: Path, most_objects: int, most_digits: int) -> None:
        self._path = path
        self._most = most_objects
        self._most_digits = most_digits
        self._objects = 0

    def unique(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        self._objects += 1
        if self._objects > self._most:
            raise InputError(f"{self._path}: holds more than {self._most:,} objects")
        members = dict(pairs)
        if len(members) != len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise bad_field(self._path, visible(twice, 80), "stands there twice")
        return members

    def refuse(self, constant: str) -> NoReturn:
        raise InputError(f"{self._path}: {constant} is no JSON number")

    def integer(self, digits: str) -> int:
        if len(digits) > self._most_digits:
            raise InputError(f"{self._path}: an integer of {len(digits)} digits is too large")
        return int(digits)


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

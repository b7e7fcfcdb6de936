"""JSON of strangers, to plain data: what JSON's grammar leaves open, duplicate keys above all, is refused."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import NoReturn

from tracetui.errors import InputError, bad_field
from tracetui.text import visible

MOST_VALUES = 6_000_000
"""In one text: the longest, a header of half a million tensors, has eight for each of most of them."""


class JsonError(ValueError):
    """Why a text isn't read as JSON, in words that go behind the file's name."""


class DuplicateKeyError(JsonError):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key[:80]!a} stands twice in one object")


class DepthError(JsonError):
    def __init__(self) -> None:
        super().__init__("is nested too deep")


class SizeError(JsonError):
    """So many values that reading them would take far more memory than the text does."""

    def __init__(self, most: int) -> None:
        super().__init__(f"holds more than {most:,} values")


class NotJsonError(JsonError):
    """The text is no JSON at all; `line` is where it stops being some."""

    def __init__(self, message: str, line: int | None) -> None:
        self.message, self.line = message, line
        super().__init__(message if line is None else f"line {line}: is not JSON: {message}")


def check_count(content: bytes, most_values: int = MOST_VALUES) -> None:
    """Raise SizeError for more values, told by commas before anything is parsed: one of two bytes becomes sixty."""
    if content.count(b",") > most_values:
        raise SizeError(most_values)


def parse_json(
    content: bytes, most_objects: int | None = None, most_digits: int | None = None, most_values: int = MOST_VALUES
) -> object:
    """The value in a text.

    Raises JsonError for duplicate keys, NaN and Infinity, integers of more than `most_digits` digits, more objects than
    `most_objects`, more than `most_values` values, nesting that Python doesn't follow, and text that is no UTF-8 or no
    JSON.
    """
    check_count(content, most_values)
    hooks = _Hooks(most_objects, most_digits)
    # Asked of every number alone, it would take half of the time that a long header does.
    is_long = most_digits is not None and re.search(rb"\d{%d}" % (most_digits + 1), content)
    integer = hooks.integer if is_long else None
    try:
        return json.loads(content, object_pairs_hook=hooks.unique, parse_constant=hooks.refuse, parse_int=integer)
    except UnicodeDecodeError as error:
        raise NotJsonError(f"is not UTF-8 text, at byte {error.start}", None) from error
    except json.JSONDecodeError as error:
        raise NotJsonError(visible(error.msg, 80), error.lineno) from error
    except RecursionError:
        raise DepthError from None
    except JsonError:
        raise
    except ValueError as error:
        # An integer of more digits than Python reads.
        raise NotJsonError(visible(str(error), 120), None) from error


def parse_json_object(
    content: bytes, path: str | Path, most_objects: int = 1_000_000, most_digits: int = 17
) -> dict[str, object]:
    """The JSON object in a file's bytes, its values not looked at yet; InputError for what parse_json refuses."""
    try:
        document = parse_json(content, most_objects, most_digits)
    except DuplicateKeyError as error:
        raise bad_field(path, visible(error.key, 80), "stands there twice") from None
    except JsonError as error:
        raise InputError(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: must hold a JSON object, got {type(document).__name__}")
    return document


class _Hooks:
    """What json.loads is told to do with the parts of one text."""

    def __init__(self, most_objects: int | None, most_digits: int | None) -> None:
        self._most_objects = most_objects
        self._most_digits = most_digits or 0
        self._objects = 0

    def unique(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        self._objects += 1
        if self._most_objects is not None and self._objects > self._most_objects:
            raise JsonError(f"holds more than {self._most_objects:,} objects")
        members = dict(pairs)
        if len(members) != len(pairs):
            twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
            raise DuplicateKeyError(twice)
        return members

    def refuse(self, constant: str) -> NoReturn:
        raise JsonError(f"{constant} is no JSON number")

    def integer(self, digits: str) -> int:
        if len(digits) > self._most_digits:
            raise JsonError(f"an integer of {len(digits)} digits is too large")
        return int(digits)

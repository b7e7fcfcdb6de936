"""TOML from strangers: what tomllib takes ever longer for, or makes numbers of that can't be shown, is refused."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tracetui.text import visible

MOST_PARTS = 256
"""Of a dotted key: tomllib takes a minute for one of 30,000."""
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?:^|[{{,\[])[ \t]*+{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}", re.MULTILINE)
"""Where a key may begin."""
_GREATEST = 2**63


class TomlError(ValueError):
    """Bytes that are no TOML, or none that is read; the text says why."""


def parse_toml(content: bytes) -> dict[str, Any]:
    """The document. Raises TomlError."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TomlError(f"is not UTF-8 text, at byte {error.start}") from None
    if _LONG_KEY.search(text):
        raise TomlError(f"has a key of more than {MOST_PARTS} parts")
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise TomlError("is nested too deep") from None
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"is not TOML: {visible(str(error), 120)}") from None
    except ValueError:  # Python's own limit to the digits of a number
        raise TomlError("has an integer of more than 64 bits") from None
    if _has_large_integer(document):
        raise TomlError("has an integer of more than 64 bits")
    return document


def _has_large_integer(document: dict[str, Any]) -> bool:
    """Whether one of its numbers is larger than TOML's: Python may refuse to write such a one down."""
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, int) and not -_GREATEST <= value < _GREATEST:
            return True
    return False

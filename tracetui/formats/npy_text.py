"""The text of an npy header as the format has it: a Python literal, a dict of three keys. Nothing is ever evaluated.

Readers must not depend on the order of keys, spaces, quotes, a comma at the end or padding; writers in other languages
leave out or add each of them. https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from tracetui.text import visible

MAX_TOKENS = 2000
_DEEPEST = 8
_TOKEN = re.compile(
    r"""(?:[ \t\r\n\f]|\#[^\n]*(?:\n|\Z))*
    (?: (?P<text>[uUrR]?(?:'[^'\\\n]*'|"[^"\\\n]*"))
      | (?P<number>\+?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[0-9]+(?:_[0-9]+)*)L?)
      | (?P<word>True|False|None)
      | (?P<mark>[{}()\[\]:,])
      | (?P<end>\Z) )""",
    re.VERBOSE | re.ASCII,
)
_WORDS: Mapping[str, object] = MappingProxyType({"True": True, "False": False, "None": None})
_DIGITS = 20


class TextError(ValueError):
    """The text is no such dict; the message says why."""


def parse_dict(text: bytes) -> dict[str, object]:
    """The dict that a header's text is: texts as keys, and texts, integers, True, False and tuples or lists of them.

    Raises TextError.
    """
    try:
        scanner = _Scanner(text.decode("ascii"))
    except UnicodeDecodeError:
        raise TextError("holds letters that are not ASCII") from None
    return scanner.whole()


class _Scanner:
    """Reads tokens one after another."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def whole(self) -> dict[str, object]:
        header = self._dict()
        self._expect("")
        return header

    def _dict(self) -> dict[str, object]:
        self._expect("{")
        members: dict[str, object] = {}
        while not self._skips("}"):
            key = self._value(0)
            self._expect(":")
            if not isinstance(key, str) or key in members:
                raise TextError("has a key that stands there twice" if isinstance(key, str) else "has a key of no text")
            members[key] = self._value(0)
            if not self._skips(","):
                self._expect("}")
                break
        return members

    def _value(self, depth: int) -> object:
        kind, written = self._next()
        if kind == "text":
            return written.lstrip("uUrR")[1:-1]
        if kind == "number":
            return _number(written)
        if kind == "word":
            return _WORDS[written]
        if written == "[":
            return self._items("]", depth)[0]
        if written == "(":
            items, commas = self._items(")", depth)
            # Without a comma they only group.
            return tuple(items) if commas or not items else items[0]
        raise TextError(f"has no value where one is needed, but {_shown(written)}")

    def _items(self, end: str, depth: int) -> tuple[list[object], bool]:
        """What stands until `end`, and whether there was a comma."""
        if depth >= _DEEPEST:
            raise TextError("is nested too deep")
        items: list[object] = []
        commas = False
        while not self._skips(end):
            items.append(self._value(depth + 1))
            if not self._skips(","):
                self._expect(end)
                break
            commas = True
        return items, commas

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            return "end", ""
        self._at += 1
        return self._tokens[self._at - 1]

    def _skips(self, mark: str) -> bool:
        """Whether the next token is this mark; it is passed then."""
        there = self._at < len(self._tokens) and self._tokens[self._at] == ("mark", mark)
        self._at += there
        return there

    def _expect(self, mark: str) -> None:
        _, token = self._next()
        if token != mark:
            raise TextError(f"needs {mark or 'to end'} where it has {_shown(token)}")


def _shown(token: str) -> str:
    return visible(token, 60) or "its end"


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    while len(tokens) < MAX_TOKENS:
        token = _TOKEN.match(text, at)
        if token is None:
            raise TextError(f"is no dict of texts, numbers and tuples, at its character {at + 1}")
        kind = str(token.lastgroup)
        if kind == "end":
            return tokens
        tokens.append((kind, token[kind]))
        at = token.end()
    raise TextError(f"has more than {MAX_TOKENS:,} parts")


def _number(token: str) -> int:
    digits = token.lstrip("+").removesuffix("L").replace("_", "")
    if len(digits) > _DIGITS or (digits[0] == "0" and digits.strip("0") and digits.isdigit()):
        raise TextError(f"has a number that is none, or too large, got {digits[:_DIGITS]}")
    return int(digits, 0) if not digits.isdigit() else int(digits)

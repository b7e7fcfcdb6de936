"""Where plain data isn't of a form, and in words what it must be there."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgspec
from msgspec import inspect

from tracetui.errors import InputError, bad_field
from tracetui.text import visible

MUST = "must"
"""The key in Meta's extra under which it stands what a value must be: `{"must": "be a name and a shape"}`."""
_INFINITY = re.compile(r"(?<![\w'])inf\b")
"""In the text of plain values, not in a name or text of them."""
_OBJECT, _LIST = "must be an object", "must be a list"


@dataclass(frozen=True, slots=True)
class Misfit:
    """One value that is of another form."""

    name: str
    """The way to it: `records[3].shape[1]`; empty for the whole document."""
    problem: str
    value: object
    is_missing: bool = False

    def error(self, where: str) -> InputError:
        value = None if self.is_missing else "null" if self.value is None else self.value
        return bad_field(where, visible(self.name) or "document", self.problem, value)


def misfit(value: object, form: inspect.Type, name: str = "") -> Misfit | None:
    """The first value that is of another form than asked for; None if all are as they must be."""
    match form:
        case inspect.Metadata(type=inner, extra=extra):
            wrong = misfit(value, inner, name)
            is_here = wrong is not None and wrong.name == name
            return Misfit(name, f"must {extra[MUST]}", value) if is_here and extra and MUST in extra else wrong
        case inspect.StructType():
            return _misfit_of_object(value, form, name)
        case inspect.DictType(value_type=inner):
            if not isinstance(value, dict):
                return Misfit(name, _OBJECT, value)
            return _first(misfit(member, inner, _path(name, key)) for key, member in value.items())
        case inspect.ListType() | inspect.VarTupleType() | inspect.TupleType():
            return _misfit_of_list(value, form, name)
        case inspect.UnionType(types=types):
            wrongs = [misfit(value, inner, name) for inner in types]  # what may be null stands before it
            return None if None in wrongs else wrongs[0]
        case _:
            return None if (must := _must_be(value, form)) is None else Misfit(name, must, value)


def _misfit_of_object(value: object, form: inspect.StructType, name: str) -> Misfit | None:
    if not isinstance(value, dict):
        return Misfit(name, _OBJECT, value)
    for field in form.fields:
        path = _path(name, field.encode_name)
        if field.encode_name in value:
            wrong = misfit(value[field.encode_name], field.type, path)
        else:
            wrong = Misfit(path, "is missing", None, is_missing=True) if field.required else None
        if wrong is not None:
            return wrong
    return None


def _misfit_of_list(
    value: object, form: inspect.ListType | inspect.VarTupleType | inspect.TupleType, name: str
) -> Misfit | None:
    if not isinstance(value, list):
        return Misfit(name, _LIST, value)
    if isinstance(form, inspect.TupleType):
        if len(value) != len(form.item_types):
            return Misfit(name, f"must be a list of {len(form.item_types)}", value)
        pairs = zip(value, form.item_types, strict=True)
    else:
        if form.max_length is not None and len(value) > form.max_length:
            return Misfit(name, f"must be at most {form.max_length:,}", len(value))
        pairs = zip(value, repeat(form.item_type, len(value)), strict=True)
    return _first(
        misfit(item, inner, f"{name}[{place}]")
        for place, (item, inner) in enumerate(pairs)
        if not _is_sound_object(item, inner)
    )


def _is_sound_object(value: object, form: inspect.Type) -> bool:
    """Whether an object is of a form, told at once: of half a million one may be the only wrong one.

    False may mean that it takes a closer look: msgspec takes a number that is too large for infinity.
    """
    if not isinstance(form, inspect.StructType) or _INFINITY.search(repr(value)):
        return False
    try:
        msgspec.convert(value, form.cls)
    except msgspec.ValidationError:
        return False
    return True


def _must_be(value: Any, form: inspect.Type) -> str | None:
    """What a value without parts must be, in words; None if it is that."""
    match form:
        case inspect.IntType(ge=low, le=high):
            is_one = isinstance(value, int) and not isinstance(value, bool)
            fits = is_one and (low is None or value >= low) and (high is None or value <= high)
            return None if fits else f"must be a whole number from {low} to {high}"
        case inspect.FloatType():
            return None if isinstance(value, float) and math.isfinite(value) else "must be a number"
        case inspect.StrType():
            return None if isinstance(value, str) else "must be a text"
        case inspect.BoolType():
            return None if isinstance(value, bool) else "must be true or false"
        case inspect.NoneType():
            return None if value is None else "must be null"
        case inspect.LiteralType(values=values):
            return (
                None if isinstance(value, str) and value in values else f"must be one of {', '.join(map(str, values))}"
            )
        case _:
            return None


def _first(wrongs: Iterable[Misfit | None]) -> Misfit | None:
    return next((wrong for wrong in wrongs if wrong is not None), None)


def _path(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key

"""Reads untrusted JSON into structs: msgspec checks quickly whether a text fits, and this module says what is wrong.

It also refuses what msgspec accepts: a key twice in one object, and invalid UTF-8 in places that no field reads. A form
is a msgspec struct; `Meta(extra={"must": …})` says in words what its field must be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, inspect

from tracetui.errors import InputError
from tracetui.formats.collector import collector_paused
from tracetui.formats.json_keys import key_count, keys_of
from tracetui.formats.json_text import DepthError, JsonError, parse_json
from tracetui.formats.limits import MAX_COUNT, MAX_VALUES, too_large
from tracetui.formats.misfit import MUST, misfit

FLOATS: Mapping[str, float] = MappingProxyType({"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf})

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Number = Annotated[
    Annotated[int, Meta(ge=-MAX_COUNT, le=MAX_COUNT)] | float | Literal["NaN", "Infinity", "-Infinity"],
    Meta(extra={MUST: 'be a number, "NaN", "Infinity" or "-Infinity"'}),
]
"""A float; one that JSON has no number for stands as its name."""
Form = TypeVar("Form")


def as_float(number: Number) -> float:
    return FLOATS[number] if isinstance(number, str) else float(number)


@collector_paused()
def read_json(document: bytes, form: type[Form], where: str, longest: str = "") -> Form:
    """The JSON document as a struct of `form`. Raises InputError naming the field, with `where` before the problem.

    longest: the field that may be larger than all others, if only one may.
    """
    if problem := too_large(document, longest):
        raise InputError(f"{where}: {problem}")
    kind: Any = form
    try:
        struct: Form = _decoder(kind).decode(document)
        has_each_once = key_count(document) == keys_of([struct], _info(kind))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return _read_slowly(document, form, where)
    if not has_each_once:
        # One stands twice, or is none that the form has: only a look at each tells.
        _parsed(document, where)
    return struct


def _read_slowly(document: bytes, form: type[Form], where: str) -> Form:
    """Read what msgspec refused: it has another form, or text that msgspec doesn't take for Unicode."""
    plain, kind = _parsed(document, where), cast(Any, form)
    if (wrong := misfit(plain, _info(kind))) is not None:
        raise wrong.error(where)
    try:
        return msgspec.convert(plain, form)
    except msgspec.ValidationError as error:
        raise InputError(f"{where}: {error}") from error


def _parsed(document: bytes, where: str) -> object:
    try:
        return parse_json(document, most_values=MAX_VALUES)
    except DepthError as error:
        raise InputError(f"{where}: {error}") from error
    except JsonError as error:
        raise InputError(f"{where}: is not JSON: {error}") from error


@cache
def _decoder(form: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cast(type[Any], form))


@cache
def _info(form: Any) -> inspect.Type:
    return inspect.type_info(form)

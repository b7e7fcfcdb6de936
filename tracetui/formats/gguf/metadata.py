"""What a GGUF file says of its model: named texts, numbers, and arrays of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tracetui.errors import bad_field
from tracetui.formats.gguf.cursor import Cursor
from tracetui.formats.gguf.texts import Texts
from tracetui.formats.table import FLOAT32_LEAST, FLOAT32_MOST
from tracetui.text import visible

Array = npt.NDArray[Any]
Value = str | int | float | bool | Texts | Array | tuple["Value", ...]
"""An array of numbers is one of numpy, one of texts a `Texts`, one of arrays a tuple."""

MAX_KEYS = 100_000
_SHOWN = 20
"""Numbers of an array in a message."""
_MAX_KEY_BYTES = 65_535
_MAX_TEXT_BYTES = 64 << 20
_MAX_DEPTH = 4
_MAX_INNER_ARRAYS = 10_000
_LEAST_ENTRY = 8 + 4 + 1
"""Bytes of a key without a name, its type and one byte of value."""
_FLOAT32, _BOOL, _TEXT, _ARRAY = 6, 7, 8, 9
_FORMS: Mapping[int, tuple[Struct, str]] = {
    0: (Struct("<B"), "<u1"), 1: (Struct("<b"), "<i1"), 2: (Struct("<H"), "<u2"), 3: (Struct("<h"), "<i2"),
    4: (Struct("<I"), "<u4"), 5: (Struct("<i"), "<i4"), _FLOAT32: (Struct("<f"), "<f4"), _BOOL: (Struct("<B"), "<u1"),
    10: (Struct("<Q"), "<u8"), 11: (Struct("<q"), "<i8"), 12: (Struct("<d"), "<f8"),
}  # fmt: skip
"""How a number of each type lies in the file, for struct and for numpy."""


class Metadata(Mapping[str, Value]):
    """The metadata of a file by key.

    What must be of one kind is asked for by that kind, which is None if it isn't there, and an InputError reading
    `file: key: problem, got …` if it is of another.
    """

    def __init__(self, path: Path, values: Mapping[str, Value]) -> None:
        self.path = path
        self._values = values

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        return value if value is None or isinstance(value, str) else self.fail(key, "must be a text")

    def integer(self, key: str) -> int | None:
        value = self._values.get(key)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        return self.fail(key, "must be a whole number")

    def number(self, key: str) -> float | None:
        """Finite in float32, and not so small that it is 0 there."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not np.isfinite(value):
            self.fail(key, "must be a finite number")
        if value and not FLOAT32_LEAST <= abs(value) <= FLOAT32_MOST:
            self.fail(key, f"must be 0, or of a size from {FLOAT32_LEAST:.2g} to {FLOAT32_MOST:.2g}, as float32 has it")
        return float(value)

    def flag(self, key: str) -> bool | None:
        value = self._values.get(key)
        return value if value is None or isinstance(value, bool) else self.fail(key, "must be true or false")

    def texts(self, key: str) -> Sequence[str] | None:
        """An array of texts."""
        value = self._values.get(key)
        if isinstance(value, np.ndarray) and not value.size:
            return ()
        return value if value is None or isinstance(value, Texts) else self.fail(key, "must be an array of texts")

    def numbers(self, key: str) -> Array | None:
        """An array of numbers."""
        value = self._values.get(key)
        if value is None or isinstance(value, np.ndarray):
            return value
        return self.fail(key, "must be an array of numbers")

    def needed_text(self, key: str) -> str:
        """Raises InputError if there is none."""
        text = self.text(key)
        return self.fail(key, "is missing, a text is needed") if text is None else text

    def needed_integer(self, key: str) -> int:
        """Raises InputError if there is none."""
        integer = self.integer(key)
        return self.fail(key, "is missing, a whole number is needed") if integer is None else integer

    def fail(self, key: str, problem: str) -> NoReturn:
        """Raise the InputError about a key."""
        value: object = self._values.get(key)
        if isinstance(value, np.ndarray):
            value = value[:_SHOWN].tolist()
        raise bad_field(self.path, visible(key, 80), problem, visible(value, 80) if isinstance(value, str) else value)


def read_metadata(cursor: Cursor, count: int) -> Metadata:
    """So many keys with their values. Raises InputError naming the key."""
    values: dict[str, Value] = {}
    inner = _InnerArrays()
    for index in range(count):
        key = cursor.text(_MAX_KEY_BYTES, f"metadata key {index}")
        if key in values:
            raise bad_field(cursor.path, visible(key, 80), "stands in the metadata twice")
        values[key] = _value(cursor, cursor.u32(key), key, 0, inner)
    return Metadata(cursor.path, values)


class _InnerArrays:
    """Counts arrays within arrays."""

    count = 0

    def add(self, cursor: Cursor, key: str, number: int) -> None:
        self.count += number
        if self.count > _MAX_INNER_ARRAYS:
            problem = f"at most {_MAX_INNER_ARRAYS:,} arrays within arrays are read"
            raise bad_field(cursor.path, visible(key, 80), problem, self.count)


def _value(cursor: Cursor, kind: int, key: str, depth: int, inner: _InnerArrays) -> Value:
    if kind == _ARRAY:
        return _array(cursor, key, depth, inner)
    if kind == _TEXT:
        return cursor.text(_MAX_TEXT_BYTES, key)
    if kind not in _FORMS:
        raise bad_field(cursor.path, visible(key, 80), "is of a type that GGUF doesn't have", kind)
    value = cursor.number(_FORMS[kind][0], key)
    if kind == _FLOAT32:
        return float(
            str(np.float32(value))
        )  # the 1e-05 that somebody wrote, not the 9.999999747378752e-06 that it became
    return value if kind != _BOOL else _bool(cursor, key, value)


def _array(cursor: Cursor, key: str, depth: int, inner: _InnerArrays) -> Value:
    kind = cursor.u32(key)
    if kind == _TEXT:
        return cursor.texts(key)
    if kind == _ARRAY:
        if depth == _MAX_DEPTH:
            raise bad_field(cursor.path, visible(key, 80), f"arrays stand in arrays more than {_MAX_DEPTH} deep")
        count = cursor.count(4 + 8, cursor.size, key)
        inner.add(cursor, key, count)
        return tuple(_array(cursor, key, depth + 1, inner) for _ in range(count))
    if kind not in _FORMS:
        raise bad_field(cursor.path, visible(key, 80), "is an array of a type that GGUF doesn't have", kind)
    dtype = np.dtype(_FORMS[kind][1])
    count = cursor.count(dtype.itemsize, cursor.size, key)
    numbers: Array = np.frombuffer(cursor.take(count * dtype.itemsize, key), dtype)
    if kind != _BOOL:
        return numbers
    if count and numbers.max() > 1:
        _bool(cursor, key, int(numbers.max()))
    return numbers.view(np.bool_)


def _bool(cursor: Cursor, key: str, value: float) -> bool:
    if value not in (0, 1):
        raise bad_field(cursor.path, visible(key, 80), "must be 0 or 1 as a truth value", value)
    return bool(value)

"""Foreign JSON, read field by field: every error names the field and what was found there."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator

from tracetui.errors import InputError, bad_field
from tracetui.formats.limits import MAX_COUNT, MAX_DEPTH, too_large
from tracetui.text import visible

FLOAT_TAG = "__float__"
"""transformers writes a float in a config that JSON has no number for as `{"__float__": "Infinity"}`."""
_NAMED_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Field:
    """A value in a JSON document, with the way to it."""

    __slots__ = ("found", "name", "where")

    def __init__(self, where: str, name: str, found: object) -> None:
        self.where = where
        self.name = name
        self.found = found

    def wrong(self, problem: str) -> InputError:
        return bad_field(
            self.where, visible(self.name) or "document", problem, "null" if self.found is None else self.found
        )

    def __getitem__(self, name: str) -> Field:
        """A member that must be there."""
        if not isinstance(self.found, dict):
            raise self.wrong("must be an object")
        path = f"{self.name}.{name}" if self.name else name
        if name not in self.found:
            raise bad_field(self.where, visible(path), "is missing")
        return Field(self.where, path, self.found[name])

    def get(self, name: str) -> Field | None:
        """A member that may be missing: later versions added it."""
        return self[name] if isinstance(self.found, dict) and name in self.found else None

    def members(self) -> Iterator[tuple[str, Field]]:
        if not isinstance(self.found, dict):
            raise self.wrong("must be an object")
        for name in self.found:
            yield name, self[name]

    def items(self) -> Iterator[Field]:
        if not isinstance(self.found, list):
            raise self.wrong("must be a list")
        for place, item in enumerate(self.found):
            yield Field(self.where, f"{self.name}[{place}]", item)

    def text(self) -> str:
        if not isinstance(self.found, str):
            raise self.wrong("must be a text")
        return self.found

    def flag(self) -> bool:
        if not isinstance(self.found, bool):
            raise self.wrong("must be true or false")
        return self.found

    def whole(self, low: int = 0, high: int = MAX_COUNT) -> int:
        if not isinstance(self.found, int) or isinstance(self.found, bool) or not low <= self.found <= high:
            raise self.wrong(f"must be a whole number from {low} to {high}")
        return self.found

    def number(self) -> float:
        """A float; one that JSON has no number for stands as its name."""
        if isinstance(self.found, str) and self.found in _NAMED_FLOATS:
            return _NAMED_FLOATS[self.found]
        if isinstance(self.found, bool) or not isinstance(self.found, int | float) or not _is_finite(self.found):
            raise self.wrong('must be a number, "NaN", "Infinity" or "-Infinity"')
        return float(self.found)

    def plain(self, depth: int = 0) -> object:
        """JSON data as it is, its tagged floats made floats."""
        if not isinstance(self.found, list | dict):
            return self.found
        if depth == MAX_DEPTH:
            raise self.wrong(f"is nested more than {MAX_DEPTH} deep")
        if isinstance(self.found, list):
            return [item.plain(depth + 1) for item in self.items()]
        if len(self.found) == 1 and self.found.get(FLOAT_TAG) in tuple(_NAMED_FLOATS):
            return self[FLOAT_TAG].number()
        return {name: member.plain(depth + 1) for name, member in self.members()}


def _is_finite(value: float) -> bool:
    return abs(value) <= MAX_COUNT if isinstance(value, int) else math.isfinite(value)


def parse(document: bytes, where: str) -> Field:
    """The JSON document as a field to start from. Raises InputError with `where` before the problem."""
    if problem := too_large(document):
        raise InputError(f"{where}: {problem}")
    try:
        document_value = json.loads(document.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise InputError(f"{where}: is nested too deep") from error
    except ValueError as error:
        raise InputError(f"{where}: is not JSON: {error}") from error
    return Field(where, "", document_value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{twice[:80]!a} stands twice in one object")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")

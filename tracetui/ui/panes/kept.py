"""What was read lately, and is shown again without being read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The newest values of one trace, by what they are of. Only the screen's thread asks for them and adds some."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._trace: object = None
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def of(self, trace: object, key: Hashable) -> Value | None:
        if trace is not self._trace or key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def add(self, trace: object, key: Hashable, value: Value) -> None:
        if trace is not self._trace:
            self._trace = trace
            self._values.clear()
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._most:
            self._values.popitem(last=False)

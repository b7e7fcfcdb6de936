"""Sequences and mappings that are made when somebody first looks into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock
from typing import Any, TypeVar, overload

from tracetui.errors import RunError

Item = TypeVar("Item")
Key = TypeVar("Key")


class Once:
    """Work that is done when it is first asked for, on whatever thread; others wait for it.

    Broken off, by an error or by Ctrl-C, it isn't begun again, and nobody takes what there is of it for all of it.
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self._work: Callable[[], object] | None = work
        self._lock = RLock()

    def __call__(self) -> None:
        if self._work is None:
            return
        with self._lock:
            if (work := self._work) is not None:
                try:
                    work()
                except BaseException:
                    self._work = _broken_off
                    raise
                self._work = None


def _broken_off() -> None:
    raise RunError("the trace was broken off when it was first looked into, and isn't whole: record the call again")


class LaterSequence(Sequence[Item]):
    """What a sequence holds once some work is done."""

    def __init__(self, items: Sequence[Item], fill: Once, ahead: Callable[[], Sequence[Item]] = tuple) -> None:
        """ahead: those of them that are there before anything is done."""
        self._items = items
        self._fill = fill
        self.ahead = ahead

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Sequence[Item]:
        self._fill()
        return self._items[index]

    def __len__(self) -> int:
        self._fill()
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        self._fill()
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple | list | LaterSequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (list(self),)


class LaterMapping(Mapping[Key, Item]):
    """What a mapping holds once some work is done."""

    def __init__(self, items: Mapping[Key, Item], fill: Once) -> None:
        self._items = items
        self._fill = fill

    def __getitem__(self, key: Key) -> Item:
        self._fill()
        return self._items[key]

    def __len__(self) -> int:
        self._fill()
        return len(self._items)

    def __iter__(self) -> Iterator[Key]:
        self._fill()
        return iter(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

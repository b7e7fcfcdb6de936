"""Where the record of a key stands, while records are added."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from tracetui.recording.record import Record


class KeyIndex:
    """Made from a list of records that grows at its end. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, int] = {}
        self._count = 0

    def find(self, key: str, records: Sequence[Record]) -> int | None:
        """The index of the key's record among those that there are by now."""
        if self._count < len(records):
            with self._lock:
                added = records[self._count :]
                self._known.update((record.key, record.index) for record in added)
                self._count += len(added)
        return self._known.get(key)

    def rename(self, old: Record, new: Record) -> None:
        """A record has another name now; whoever looked at the list meanwhile may have seen either."""
        with self._lock:
            if self._known.pop(old.key, None) is not None:
                self._known[new.key] = new.index

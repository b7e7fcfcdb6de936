"""Records that are known to be there and not written down yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracetui.tracer.capture.recorder import Recorder


class LaterRecords:
    """Of one recorder, in order: written down before others follow them, or when somebody looks into the trace."""

    def __init__(self) -> None:
        self._writes: list[Callable[[Recorder], None]] = []
        self.count = 0
        """How many records they are."""

    def __bool__(self) -> bool:
        return bool(self._writes)

    def add(self, count: int, write: Callable[[Recorder], None]) -> None:
        """So many more, which `write` writes down; it isn't to keep the recorder alive."""
        self._writes.append(write)
        self.count += count

    def write(self, recorder: Recorder) -> None:
        """Write all of them down."""
        writes, self._writes, self.count = self._writes, [], 0
        for write in writes:
            write(recorder)

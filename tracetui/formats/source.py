"""An open file of a stranger's, read piece by piece."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from tracetui.errors import InputError
from tracetui.file_state import settled_state
from tracetui.text import visible

_LEAST_AHEAD, _MOST_AHEAD = 1 << 9, 1 << 18


class Source:
    """An open file of a known size, read piece by piece.

    Small pieces that lie one after another, as the headers of small members do, are read many at once.
    """

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.descriptor = file.fileno()
        self.state = settled_state(self.descriptor)
        """As it was before anything of it was read."""
        self.size = os.fstat(self.descriptor).st_size
        self._ahead, self._ahead_at, self._most_ahead = b"", 0, _LEAST_AHEAD

    def read(self, offset: int, length: int, member: str = "zip directory") -> bytes:
        """Exactly `length` bytes. Raises InputError if they aren't there."""
        at = offset - self._ahead_at
        if 0 <= at <= len(self._ahead) - length:
            return self._ahead[at : at + length]
        content = self._pread(length, offset) if offset + length <= self.size else b""
        if len(content) != length:
            raise self.wrong("reaches beyond the file's end: it was cut short", member)
        return content

    def _pread(self, length: int, offset: int) -> bytes:
        """The more is read ahead, the longer pieces have lain close to each other."""
        gap = offset - self._ahead_at - len(self._ahead)
        is_near = -len(self._ahead) <= gap <= self._most_ahead
        self._most_ahead = min(2 * self._most_ahead, _MOST_AHEAD) if is_near else _LEAST_AHEAD
        try:
            if length > self._most_ahead:
                return os.pread(self.descriptor, length, offset)
            self._ahead, self._ahead_at = os.pread(self.descriptor, self._most_ahead, offset), offset
        except OSError as error:
            raise InputError(f"{self.path}: can't be read: {error.strerror}") from error
        return self._ahead[:length]

    def wrong(self, problem: str, member: str = "zip directory") -> InputError:
        return InputError(f"{self.path}: {visible(member)}: {problem}")

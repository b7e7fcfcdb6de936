"""An open file of a stranger's, read piece by piece."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from tracetui.errors import InputError
from tracetui.file_state import settled_state
from tracetui.text import visible


class Source:
    """An open file of a known size, read piece by piece."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.descriptor = file.fileno()
        self.state = settled_state(self.descriptor)
        """As it was before anything of it was read."""
        self.size = os.fstat(self.descriptor).st_size

    def read(self, offset: int, length: int, member: str = "zip directory") -> bytes:
        """Exactly `length` bytes. Raises InputError if they aren't there."""
        try:
            content = os.pread(self.descriptor, length, offset) if offset + length <= self.size else b""
        except OSError as error:
            raise InputError(f"{self.path}: can't be read: {error.strerror}") from error
        if len(content) != length:
            raise self.wrong("reaches beyond the file's end: it was cut short", member)
        return content

    def wrong(self, problem: str, member: str = "zip directory") -> InputError:
        return InputError(f"{self.path}: {visible(member)}: {problem}")

"""The first bytes of a stranger's GGUF file, read one field after another and never beyond the file's end."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from struct import Struct
from typing import IO

import numpy as np

from tracetui.errors import InputError, bad_field
from tracetui.formats.gguf.texts import Texts
from tracetui.text import visible

MAX_HEADER_BYTES = 128 << 20
"""A vocabulary of 260,000 tokens with its merges takes 12 MiB, a tokenizer.json kept whole 30."""
MAX_TEXTS = 2_000_000
"""In all arrays of texts together."""
_FIRST_BYTES = 1 << 20
_U32, _U64 = Struct("<I"), Struct("<Q")


class Cursor:
    """Reads on from where it stands; whatever it reads is named `field` in an error."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.at = 0
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._content = bytearray()
        self._text_count = 0

    def number(self, form: Struct, field: str) -> int | float:
        """One number of a little-endian form."""
        at = self._pass_over(form.size, field)
        value: int | float = form.unpack_from(self._content, at)[0]
        return value

    def u32(self, field: str) -> int:
        return int(self.number(_U32, field))

    def u64(self, field: str) -> int:
        return int(self.number(_U64, field))

    def count(self, least: int, most: int, field: str) -> int:
        """A number of things of at least so many bytes each, of which the rest of the file can hold that many."""
        count = self.u64(field)
        if count > most:
            raise bad_field(self.path, visible(field, 80), f"at most {most:,} are read", count)
        if count * least > self.size - self.at:
            problem = f"the rest of the file, {self.size - self.at:,} bytes, can't hold so many"
            raise bad_field(self.path, visible(field, 80), f"{problem}: it was cut short or is damaged", count)
        return count

    def take(self, length: int, field: str) -> bytes:
        """The next bytes."""
        at = self._pass_over(length, field)
        return bytes(memoryview(self._content)[at : at + length])

    def text(self, most: int, field: str) -> str:
        """A text of at most so many bytes; what of it isn't UTF-8 stands there as lone surrogates."""
        return self.take(self.count(1, most, field), field).decode("utf-8", errors="surrogateescape")

    def texts(self, field: str) -> Texts:
        """An array of texts."""
        count = self.count(_U64.size, MAX_TEXTS - self._text_count, field)
        self._text_count += count
        starts, at, known = array("q", [self.at]), self.at, len(self._content)
        for _ in range(count):  # as little as can be done in it: there are hundreds of thousands
            if at + _U64.size > known:
                known = self._read_on(at + _U64.size, field)
            at += _U64.size + _U64.unpack_from(self._content, at)[0]
            starts.append(min(at, self.size + 1))
        first, self.at = self.at, at
        if at > known:
            self._read_on(at, field)
        return Texts(bytes(memoryview(self._content)[first:at]), np.frombuffer(starts, np.int64) - first)

    def _pass_over(self, length: int, field: str) -> int:
        """Where the next bytes begin, of which so many are there."""
        at, self.at = self.at, self.at + length
        if self.at > len(self._content):
            self._read_on(self.at, field)
        return at

    def _read_on(self, stop: int, field: str) -> int:
        """Have the content reach to a byte at least; returns how far it does."""
        if stop > self.size:
            problem = f"reaches to byte {stop:,}, and the file ends after {self.size:,}: it was cut short or is damaged"
            raise bad_field(self.path, visible(field, 80), problem)
        if stop > MAX_HEADER_BYTES:
            problem = f"at most {MAX_HEADER_BYTES:,} bytes are read before the tensors, and it reaches to {stop:,}"
            raise bad_field(self.path, visible(field, 80), problem)
        aim = min(self.size, MAX_HEADER_BYTES, max(stop, _FIRST_BYTES, 2 * len(self._content)))
        try:
            self._content += self._file.read(aim - len(self._content))
        except OSError as error:
            raise InputError(f"{self.path}: can't be read: {error.strerror or error}") from error
        if stop > len(self._content):
            raise bad_field(self.path, visible(field, 80), "the file was cut short while it was read")
        return len(self._content)

"""Many short texts in one piece of memory: a vocabulary's tokens and merges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

_LENGTH_BYTES = 8


class Texts(Sequence[str]):
    """Texts as a GGUF file has them, each decoded when it is asked for; bytes that are no UTF-8 become lone
    surrogates, which `encode("utf-8", "surrogateescape")` turns back."""

    def __init__(self, content: bytes, starts: npt.NDArray[np.int64]) -> None:
        """content: each text behind eight bytes with its length. starts: where each begins, and where the last ends."""
        self._content = content
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        begin, end = int(self._starts[place]) + _LENGTH_BYTES, int(self._starts[place + 1])
        return self._content[begin:end].decode("utf-8", errors="surrogateescape")

    def __iter__(self) -> Iterator[str]:
        begin = 0
        for end in self._starts[1:].tolist():
            yield self._content[begin + _LENGTH_BYTES : end].decode("utf-8", errors="surrogateescape")
            begin = end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, str) and list(self) == list(other)

    __hash__: Any = None

    def __repr__(self) -> str:
        return f"Texts of {len(self):,}"

"""Long texts cut so that the regular expression's stack and the merging stay small."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARS = 400_000
MAX_RUN = 25_000
_RUN = re.compile(r"\s+|\S+")


def pieces(text: str) -> Iterator[str]:
    """The text in order, cut every `MAX_CHARS` and within runs of blanks or of non-blanks every `MAX_RUN` characters.

    These are the cuts of Llama 3's own tokenizer: a run of a million blanks makes the expression panic otherwise.
    """
    for start in range(0, len(text), MAX_CHARS):
        block = text[start : start + MAX_CHARS]
        begin = 0
        for cut in _cuts(block):
            yield block[begin:cut]
            begin = cut
        yield block[begin:]


def _cuts(block: str) -> Iterator[int]:
    for run in _RUN.finditer(block):
        yield from range(run.start() + MAX_RUN, run.end(), MAX_RUN)

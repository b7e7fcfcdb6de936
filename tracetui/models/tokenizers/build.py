"""Make builtin.tiktoken from the corpus: `python -m tracetui.models.tokenizers.build`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import regex  # type: ignore[import-untyped]

from tracetui.errors import InputError
from tracetui.models.tokenizers.families import LLAMA3_PATTERN
from tracetui.models.tokenizers.load import BUILTIN_RANKS
from tracetui.models.tokenizers.ranks import format_ranks
from tracetui.models.tokenizers.train import train
from tracetui.paths import replacing

CORPUS = Path(__file__).with_name("corpus")
RANKS = 4096
LIST_WEIGHT = 4
"""How often a file named `words*.txt` counts: a list has each word once, prose has them as often as people use them."""


def build(corpus: Path = CORPUS, size: int = RANKS) -> bytes:
    """The content of the rank file; the same corpus gives the same bytes. Raises InputError: no corpus, too small."""
    files = sorted(corpus.glob("*.txt"))
    if not files:
        raise InputError(f"{corpus}: has no text to learn from; the corpus is in the source checkout only")
    counts: Counter[bytes] = Counter()
    for file in files:
        weight = LIST_WEIGHT if file.name.startswith("words") else 1
        for piece in regex.findall(LLAMA3_PATTERN, file.read_text(encoding="utf-8")):
            counts[piece.encode()] += weight
    return format_ranks(train(counts, size))


def main() -> None:
    content = build()
    with replacing(BUILTIN_RANKS) as file:
        file.write(content)
    sys.stdout.write(f"{BUILTIN_RANKS}: {RANKS:,} tokens\n")


if __name__ == "__main__":
    main()

"""How much longer a tokenizer.json can make a text, from what its parts say: it may double it thirty times."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Part = Mapping[str, Any]
MOST_ADDED = 1000
"""Tokens that a post-processor may put around a text."""
_LISTS = ("normalizers", "pretokenizers", "processors")
_UNKNOWN = 4


def growth_of(state: bytes) -> int:
    """The most bytes, or tokens, that a normaliser, pre-tokenizer or post-processor makes of one.

    state: the part's own JSON.
    """
    part = json.loads(state)
    return math.prod(_growth(each) for each in _parts(part)) if isinstance(part, dict) else 1


def added_by(state: bytes) -> int:
    """How many tokens a post-processor puts around a text."""
    part = json.loads(state)
    return sum(_added(each) for each in _parts(part)) if isinstance(part, dict) else 0


def _parts(part: Part) -> Iterator[Part]:
    inner = next((part[name] for name in _LISTS if isinstance(part.get(name), list)), None)
    if inner is None:
        yield part
        return
    for each in inner:
        yield from _parts(each)


def _growth(part: Part) -> int:
    known = _GROWTHS.get(str(part.get("type")))
    return _UNKNOWN if known is None else known(part)


def _bytes(text: object) -> int:
    return len(text.encode()) if isinstance(text, str) else 0


def _of_replacing(part: Part) -> int:
    pattern = part.get("pattern")
    literal = pattern.get("String") if isinstance(pattern, dict) else None
    replaced = _bytes(part.get("content"))
    # An expression may match a single character, or stand between any two.
    return max(1, -(-replaced // _bytes(literal))) if literal else 1 + replaced


def _of_table(part: Part) -> int:
    """A compiled table of sentencepiece: after the trie stand the texts that it puts in place of others."""
    table = base64.b64decode(part.get("precompiled_charsmap") or "")
    if len(table) < 4:
        return 1
    (trie,) = struct.unpack_from("<I", table)
    return max(1, *map(len, table[4 + trie :].split(b"\0")))


def _of_template(part: Part) -> int:
    return max(1, sum("Sequence" in piece for piece in part.get("single", ())))


def _added(part: Part) -> int:
    if part.get("type") != "TemplateProcessing":
        return 2
    tokens = part.get("special_tokens", {})
    names = [piece["SpecialToken"]["id"] for piece in part.get("single", ()) if "SpecialToken" in piece]
    return sum(len(tokens.get(name, {}).get("ids", ())) for name in names)


def _same(part: Part) -> int:
    return 1


_GROWTHS: Mapping[str, Callable[[Part], int]] = {
    **dict.fromkeys(
        ("Strip", "StripAccents", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit"), _same
    ),
    **dict.fromkeys(("CharDelimiterSplit", "UnicodeScripts", "BertPreTokenizer", "FixedLength"), _same),
    **dict.fromkeys(("BertProcessing", "RobertaProcessing"), _same),
    # One character of three bytes stands for eighteen in Unicode's compatible forms, and for four in its others.
    **dict.fromkeys(("NFKC", "NFKD"), lambda part: 11),
    "ByteLevel": lambda part: 2,
    "Lowercase": lambda part: 2,
    "Metaspace": lambda part: max(1, _bytes(part.get("replacement"))),
    "Prepend": lambda part: 1 + _bytes(part.get("prepend")),
    "Replace": _of_replacing,
    "Precompiled": _of_table,
    "TemplateProcessing": _of_template,
}
"""By a part's type; of those that aren't here a character becomes a few bytes more."""

"""From the way a vocabulary file spells a token to the bytes that the token stands for."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache

_FALLBACK = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Spelling(Enum):
    """How the strings of a vocabulary stand for bytes."""

    BYTE_LEVEL = "one printable character per byte, after GPT-2"
    SENTENCEPIECE = "`▁` for a blank, `<0xE2>` for a byte without a token of its own"
    PLAIN = "the text itself"


def token_bytes(spelled: str, spelling: Spelling) -> bytes:
    """The exact bytes of a token; a character outside the spelling's alphabet stands for itself."""
    if spelling is Spelling.BYTE_LEVEL:
        alphabet = byte_of_character()
        return b"".join(bytes([alphabet[char]]) if char in alphabet else _encoded(char) for char in spelled)
    if spelling is Spelling.SENTENCEPIECE:
        fallback = _FALLBACK.fullmatch(spelled)
        return bytes.fromhex(fallback[1]) if fallback else _encoded(spelled.replace("▁", " "))
    return _encoded(spelled)


def _encoded(text: str) -> bytes:
    """UTF-8, and the very bytes of what a file has that is none."""
    return text.encode(errors="surrogateescape")


@cache
def byte_of_character() -> dict[str, int]:
    """GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others follow from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    shifted = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(shifted)}

"""GGUF files that hold a tokenizer and nothing else, made of the built-in ranks, and texts to compare ids of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tests.formats.gguf_bytes import ARRAY, BOOL, F32, I32, TEXT, U32, array, usual, value
from tests.models.tokenizers.samples import learnt
from tracetui.models.tokenizers.vocabulary import byte_of_character

TEXTS = (
    "Hello  world,\n\n it's WE'LL 'S don't\r\n\tend  ",
    "2024-11-30 1,234,567.89 1 12 123 1234 12345 ①½²",
    "Привет МИР приВЕТ Ἑλλάς ქართული camelCase HTTPServer snake_case",
    "你好，世界。今天123元 日本語のテキスト 한국어 ㅋㅋㅋ",
    "مرحبا ١٢٣ हिन्दी में नमस्ते 1२3 ภาษาไทย",
    "👋🏽 👨‍👩‍👧 🇩🇪 e\u0301 ﬁ \u00a0nbsp\u2003em\u3000ideo\u2028line\u200bzw",
    "def f(x):\n    return {'a': x**2}  # http://a.b/c?d=1&e\n",
    "<|im_start|>user\nhi <|im_end|></s> <s>  <think>x</think>",
    "   \n  ",
    "$+<=>^~|` !!!... \"(['-_']\")",
)
SPECIAL = ("<|im_start|>", "<|im_end|>", "<s>", "<think>", "</think>", "<|endoftext|>")
ADDED = ("</think>", "<think>")
_CHARACTER_OF = {byte: character for character, byte in byte_of_character().items()}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


@cache
def _learnt_merges() -> list[str]:
    return merges(learnt())


@cache
def _learnt_tokens() -> list[str]:
    return [spelled(token) for token in learnt()]


def byte_level(**changes: Any) -> dict[str, Any]:
    """Metadata of GPT-2's kind: the built-in tokens with the merges that make them, then the special ones."""
    tokens = _learnt_tokens()
    kinds = [NORMAL] * len(tokens) + [USER_DEFINED if name in ADDED else CONTROL for name in SPECIAL]
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [*tokens, *SPECIAL],
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": _learnt_merges(),
        "tokenizer.ggml.bos_token_id": tokens.index("a"),
        "tokenizer.ggml.eos_token_id": len(tokens) + 1,
        **changes,
    }


def scored(**changes: Any) -> dict[str, Any]:
    """Metadata of SentencePiece's kind: bytes, then those of the built-in tokens that are text, with scores."""
    pieces = dict.fromkeys(text for token in learnt() if (text := as_text(token)) is not None)
    named = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    special = [name for name in SPECIAL if name != "<s>"]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    kinds += [USER_DEFINED if name in ADDED else CONTROL for name in special]
    scores = [0.0] * len(named) + [-float(rank) for rank in range(len(pieces))] + [0.0] * len(special)
    return {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*named, *pieces, *special],
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        **changes,
    }


def written(path: Path, metadata: Mapping[str, Any]) -> Path:
    """A file with these metadata, but for those that are None."""
    path.write_bytes(usual({key: typed(item) for key, item in metadata.items() if item is not None}))
    return path


def spelled(token: bytes) -> str:
    """As GPT-2 spells bytes."""
    return "".join(_CHARACTER_OF[byte] for byte in token)


def as_text(token: bytes) -> str | None:
    """As SentencePiece spells it; None if it is no text, or NUL, at which llama.cpp ends a text of a file."""
    if token == b"\0":
        return None
    try:
        return token.decode().replace(" ", "▁")
    except UnicodeDecodeError:
        return None


def merges(tokens: Sequence[bytes]) -> list[str]:
    """The pair of earlier tokens that becomes each token, in the order of their ranks."""
    rank_of = {token: rank for rank, token in enumerate(tokens)}
    pairs = (_pair(token, rank_of) for token in tokens if len(token) > 1)
    return [f"{spelled(left)} {spelled(right)}" for left, right in pairs]


def _pair(token: bytes, rank_of: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    parts = [bytes([byte]) for byte in token]
    last = len(rank_of)
    while len(parts) > 2:
        joined = [parts[place] + parts[place + 1] for place in range(len(parts) - 1)]
        best = min(range(len(joined)), key=lambda place: rank_of.get(joined[place], last))
        parts[best : best + 2] = [joined[best]]
    return parts[0], parts[1]


def typed(item: Any) -> tuple[int, bytes]:
    if isinstance(item, bool):
        return BOOL, value(BOOL, item)
    if isinstance(item, int):
        return U32, value(U32, item)
    if isinstance(item, str):
        return TEXT, value(TEXT, item)
    kind = {str: TEXT, float: F32, int: I32}[type(item[0])] if item else TEXT
    return ARRAY, array(kind, item)

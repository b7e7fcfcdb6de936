"""Tokenizers of every kind, made from the built-in ranks or by the library, and texts to feed them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import tokenizers
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from tracetui.models.tokenizers import Tokenizer, load_tokenizer
from tracetui.models.tokenizers.load import BUILTIN_RANKS
from tracetui.models.tokenizers.ranks import format_ranks, read_ranks
from tracetui.models.tokenizers.vocabulary import byte_of_character
from tracetui.recording.record import Token

WALK_THROUGH = "the answer to the ultimate question of life, the universe, and everything is "
BIG = 300_000
"""A model's vocabulary into which every id of these tests fits."""

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.lists(
    st.sampled_from(
        [
            " ",
            "  ",
            "\n",
            "\t",
            "a",
            "the",
            " the",
            "1234",
            "é",
            "火",
            "👩‍💻",
            "'s",
            "▁",
            "<s>",
            "<|end_of_text|>",
            "\x00",
        ]
    ),
    max_size=30,
).map("".join)


def body(tokens: list[Token]) -> bytes:
    """The bytes of all tokens but the begin-of-text one in front."""
    return b"".join(token.bytes for token in tokens[1:])


@cache
def learnt() -> tuple[bytes, ...]:
    """The built-in tokens in the order of their ranks."""
    return tuple(read_ranks(BUILTIN_RANKS))


def llama3_file(path: Path, tokens: Sequence[bytes] | None = None) -> Path:
    """A tokenizer.model in Meta's form."""
    path.write_bytes(format_ranks(learnt() if tokens is None else tokens))
    return path


def byte_level_json(path: Path) -> Path:
    """A tokenizer.json after GPT-2: byte-level vocabulary, one merge, `<s>` in front."""
    characters = {byte: char for char, byte in byte_of_character().items()}
    vocabulary = {characters[byte]: byte for byte in range(256)} | {"th": 256, "the": 257, "Ġthe": 258}
    library = tokenizers.Tokenizer(models.BPE(vocabulary, [("t", "h"), ("th", "e"), ("Ġ", "the")]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    return _with_bos(library, path)


def sentencepiece_json(path: Path) -> Path:
    """A tokenizer.json after Llama 2: `▁` for blanks and before the text, unknown characters byte by byte."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    for piece in ("<unk>", "▁", "t", "h", "e", "th", "the", "▁the", "▁▁"):
        vocabulary[piece] = len(vocabulary)
    merges = [("t", "h"), ("th", "e"), ("▁", "the"), ("▁", "▁")]
    library = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    library.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    library.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return _with_bos(library, path)


def _with_bos(library: tokenizers.Tokenizer, path: Path) -> Path:
    library.add_special_tokens(["<s>", "<|end_of_text|>"])
    bos = library.token_to_id("<s>")
    library.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    library.save(str(path))
    return path


def every_kind(folder: Path) -> dict[str, Tokenizer]:
    return {
        "builtin": load_tokenizer("builtin", BIG),
        "cut builtin": load_tokenizer("builtin", 700),
        "Llama 3": load_tokenizer(str(llama3_file(folder / "tokenizer.model")), BIG),
        "byte-level json": load_tokenizer(str(byte_level_json(folder / "bytes.json")), BIG),
        "sentencepiece json": load_tokenizer(str(sentencepiece_json(folder / "pieces.json")), BIG),
    }

"""A tokenizer.json, read and run by the `tokenizers` library, with the exact bytes behind every token."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.errors import InputError
from tracetui.models.tokenizers.growth import MOST_ADDED, added_by, growth_of
from tracetui.models.tokenizers.guard import library_errors
from tracetui.models.tokenizers.patience import result_within
from tracetui.models.tokenizers.protocol import check_ids, text_bytes
from tracetui.models.tokenizers.vocabulary import Spelling, token_bytes
from tracetui.paths import read_bounded
from tracetui.recording.record import Token

if TYPE_CHECKING:
    import tokenizers

MAX_BYTES = 64 * 2**20
"""Published ones have up to half of that."""
_MOST_ENTRIES = 2_000_000
"""Of its vocabulary and merges together; published ones have up to 800,000."""
_MOST_GROWTH = 2**13
"""Of a text's bytes at most; ALBERT's and XLNet's might be 4,356, by Unicode's compatible forms and a table of such."""
_MOST_BYTES = 2**28
"""Of what is made of a prompt at most."""
_FEWEST_SECONDS, _LEAST_SPEED = 8.0, 100_000.0
"""What a prompt may take, and a further second for so many bytes: a tenth of what tokenizers do on a slow machine."""


class LibraryTokenizer:
    """A tokenizer of the Hugging Face library; its own post-processor decides about the begin-of-text token."""

    remarks: tuple[str, ...] = ()

    def __init__(self, library: tokenizers.Tokenizer, name: str, model_vocab: int) -> None:
        library.no_truncation()
        library.no_padding()
        self._model_vocab = model_vocab
        self._library = library
        self._spelling = _spelling(self._library)
        self._added = {
            token_id: Token(token_id, added.content.encode(), special=added.special)
            for token_id, added in self._library.get_added_tokens_decoder().items()
        }
        self._special_names = frozenset(
            token.bytes.decode() for token in self._added.values() if token.special and token.bytes
        )
        self._vocab_size = 1 + max(self._library.get_vocab(with_added_tokens=True).values(), default=-1)
        self._name = f"{name} ({self._vocab_size:,} tokens)"
        self._lock = threading.Lock()
        self._growth = _growth(library)

    @property
    def name(self) -> str:
        return self._name

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    @property
    def special_names(self) -> frozenset[str]:
        return self._special_names

    @property
    def is_llama3(self) -> bool:
        return False

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        expected = text_bytes(text)
        if len(expected) * self._growth > _MOST_BYTES:
            raise InputError(
                f"the prompt: {self._name} could make it {self._growth:,} times as long; take a shorter one"
            )
        encoding = self._encoded(text, specials, around, _FEWEST_SECONDS + len(expected) / _LEAST_SPEED)
        check_ids(encoding.ids, self._model_vocab)
        tokens = [self.token(token_id) for token_id in encoding.ids]
        return _fitted(tokens, encoding.special_tokens_mask, expected)

    def _encoded(self, text: str, specials: bool, around: bool, seconds: float) -> tokenizers.Encoding:
        """What the library makes of a text, in a thread that is left behind if it takes too long: nothing ends it."""

        def encode() -> tokenizers.Encoding:
            with self._lock:
                self._library.encode_special_tokens = not specials
                # For one text alone it would keep all other threads from running meanwhile.
                return self._library.encode_batch([text], add_special_tokens=around)[0]

        with library_errors(f"the prompt: {self._name}"):
            encoding = result_within(seconds, encode)
        if encoding is None:
            problem = f"{self._name} isn't done with it after {seconds:.0f} s"
            raise InputError(f"the prompt: {problem}: its regular expressions may have no end; give --tokens instead")
        return encoding

    def decode(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.token(token_id).bytes for token_id in ids)

    def token(self, id: int) -> Token:  # noqa: A002
        if id in self._added:
            return self._added[id]
        spelled = self._library.id_to_token(id) if 0 <= id < self._vocab_size else None
        return Token(id, b"" if spelled is None else token_bytes(spelled, self._spelling))


class JsonTokenizer(LibraryTokenizer):
    """One that lies in a tokenizer.json."""

    def __init__(self, path: Path, model_vocab: int) -> None:
        """Raises InputError: no such file, too large, not UTF-8, refused by the library."""
        super().__init__(_load(path), f"{path.name} of {path.absolute().parent}", model_vocab)


def _load(path: Path) -> tokenizers.Tokenizer:
    content = read_bounded(path, MAX_BYTES)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text, got 0x{content[error.start]:02X} at byte {error.start}"
        ) from error
    if (entries := text.count('":') + text.count("[")) > _MOST_ENTRIES:
        raise InputError(f"{path}: has more than {_MOST_ENTRIES:,} entries, got {entries:,}")
    import tokenizers

    with library_errors(path):
        library: tokenizers.Tokenizer = tokenizers.Tokenizer.from_str(text)
        _check_growth(library, path)
    return library


def _growth(library: tokenizers.Tokenizer) -> int:
    """How many times as long the library could make a text."""
    parts = (library.normalizer, library.pre_tokenizer, library.post_processor)
    return math.prod(growth_of(part.__getstate__()) for part in parts if part is not None)


def _check_growth(library: tokenizers.Tokenizer, path: Path) -> None:
    """Raise InputError for a tokenizer that could fill the memory with what it makes of a prompt."""
    if (growth := _growth(library)) > _MOST_GROWTH:
        parts = "its normalizer, pre_tokenizer and post_processor"
        raise InputError(f"{path}: {parts} could make a prompt {growth:,} times as long, more than {_MOST_GROWTH:,}")
    around = library.post_processor
    if around is not None and (added := added_by(around.__getstate__())) > MOST_ADDED:
        raise InputError(f"{path}: post_processor: puts {added:,} tokens around a prompt, more than {MOST_ADDED:,}")


def _spelling(library: tokenizers.Tokenizer) -> Spelling:
    """How the vocabulary spells bytes, from the parts of the tokenizer that would put them together again."""
    parts = (library.decoder, library.pre_tokenizer, library.normalizer)
    described = "".join(part.__getstate__().decode() for part in parts if part is not None)
    if '"ByteLevel"' in described:
        return Spelling.BYTE_LEVEL
    return Spelling.SENTENCEPIECE if "▁" in described or '"ByteFallback"' in described else Spelling.PLAIN


def _fitted(tokens: list[Token], inserted: Sequence[int], text: bytes) -> list[Token]:
    """The tokens without the blanks that the tokenizer put before words where the text has none.

    `inserted` is 1 for the tokens that the post-processor put around the text. A tokenizer that changes
    the text in other ways (lower case, unknown characters) keeps the bytes of its vocabulary.
    """
    fitted: list[Token] = []
    end = len(text)
    # From the end, so that of several blanks in a row it is the first that was put there.
    for token, from_outside in zip(reversed(tokens), reversed(inserted), strict=True):
        if not from_outside:
            if token.bytes.startswith(b" ") and not text.endswith(token.bytes, 0, end):
                token = Token(token.id, token.bytes[1:], token.special)
            if not text.endswith(token.bytes, 0, end):
                return tokens
            end -= len(token.bytes)
        fitted.append(token)
    return tokens if end else fitted[::-1]

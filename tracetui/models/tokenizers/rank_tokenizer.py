"""A tokenizer over ranks: the built-in one, Llama 3's tokenizer.model, tiktoken's named encodings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from tracetui.models.tokenizers.families import LLAMA3, Family
from tracetui.models.tokenizers.guard import library_errors
from tracetui.models.tokenizers.pieces import pieces
from tracetui.models.tokenizers.protocol import check_ids, text_bytes
from tracetui.recording.record import Token

if TYPE_CHECKING:
    import tiktoken


class RankTokenizer:
    """Byte-pair encoding by tiktoken, special tokens and long texts by ourselves."""

    remarks: tuple[str, ...] = ()

    def __init__(
        self, name: str, ranks: Mapping[bytes, int], family: Family, model_vocab: int, bos: int | None = None
    ) -> None:
        """`model_vocab` is the number of ids the model has; `bos` is put in front if the family names none."""
        self._name = name
        self._ranks = dict(ranks)
        self._family = family
        self._model_vocab = model_vocab
        self._specials = dict(family.specials(len(ranks)))
        self._bos = self._specials.get(family.bos, bos)
        self._tokens = _token_table(self._ranks, self._specials, self._bos)

    @property
    def name(self) -> str:
        return self._name

    @property
    def vocab_size(self) -> int:
        return max(self._tokens) + 1

    @property
    def special_names(self) -> frozenset[str]:
        return frozenset(self._specials)

    @property
    def is_llama3(self) -> bool:
        return self._family is LLAMA3

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        text_bytes(text)
        ids = [self._bos] if around and self._bos is not None else []
        with library_errors(f"the prompt: {self._name}"):
            for part in self._parts(text) if specials else [text]:
                if specials and part in self._specials:
                    ids.append(self._specials[part])
                else:
                    ids.extend(self._ordinary(part))
        check_ids(ids, self._model_vocab)
        return [self._tokens[token_id] for token_id in ids]

    def decode(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.token(token_id).bytes for token_id in ids)

    def token(self, id: int) -> Token:  # noqa: A002
        return self._tokens.get(id, Token(id, b""))

    def _parts(self, text: str) -> list[str]:
        """The text cut before and after every name of a special token."""
        return self._special_names.split(text)

    def _ordinary(self, text: str) -> Iterator[int]:
        for piece in pieces(text):
            yield from self._encoding.encode_ordinary(piece)

    @cached_property
    def _special_names(self) -> re.Pattern[str]:
        names = sorted(self._specials, key=len, reverse=True)
        return re.compile(f"({'|'.join(re.escape(name) for name in names)})")

    @cached_property
    def _encoding(self) -> tiktoken.Encoding:
        """Made when first needed: the import and the tables of 128,000 ranks take their time."""
        import tiktoken

        return tiktoken.Encoding(
            self._family.name, pat_str=self._family.pattern, mergeable_ranks=self._ranks, special_tokens={}
        )


def _token_table(ranks: Mapping[bytes, int], specials: Mapping[str, int], bos: int | None) -> dict[int, Token]:
    table = {rank: Token(rank, token) for token, rank in ranks.items()}
    table |= {token_id: Token(token_id, name.encode(), special=True) for name, token_id in specials.items()}
    if bos is not None and bos not in table:
        table[bos] = Token(bos, b"<bos>", special=True)
    return table

"""Special and added tokens of a GGUF file, cut out of a text before anything else, as llama.cpp does it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracetui.models.tokenizers.gguf.vocabulary import GgufVocabulary, TokenKind

_BLANKS = " \t\n\v\f\r"
_CUT_OUT = (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)


class SpecialTokens:
    """The tokens that are looked for by their text: the longest first, wherever it stands."""

    def __init__(self, vocabulary: GgufVocabulary, strip_behind: Iterable[int] = ()) -> None:
        """strip_behind: ids that swallow the blanks behind them."""
        ids = [token_id for token_id, kind in enumerate(vocabulary.kinds) if kind in _CUT_OUT]
        self._ids = sorted(ids, key=lambda token_id: -len(vocabulary.tokens[token_id].encode(errors="surrogateescape")))
        self._vocabulary = vocabulary
        self._strip_behind = frozenset(strip_behind)
        self.names = frozenset(vocabulary.tokens[token_id] for token_id in ids if vocabulary.special(token_id))

    def cut(self, text: str, specials: bool) -> Sequence[str | int]:
        """The text's parts in order: ids, and plain text between them, none empty.

        specials: whether control tokens may be named; those that were added to the vocabulary are cut out anyhow.
        """
        parts: list[str | int] = [text] if text else []
        for token_id in self._ids:
            if self._vocabulary.tokens[token_id] in text and (specials or not self._vocabulary.special(token_id)):
                parts = [piece for part in parts for piece in self._cut_at(part, token_id)]
        return parts

    def _cut_at(self, part: str | int, token_id: int) -> Sequence[str | int]:
        if isinstance(part, int):
            return [part]
        first, *others = part.split(self._vocabulary.tokens[token_id])
        pieces: list[str | int] = [first]
        for other in others:
            pieces += [token_id, other.lstrip(_BLANKS) if token_id in self._strip_behind else other]
        return [piece for piece in pieces if piece != ""]

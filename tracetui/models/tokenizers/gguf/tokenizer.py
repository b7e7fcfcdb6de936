"""The tokenizer that a GGUF file describes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tracetui.errors import bad_field
from tracetui.formats.gguf import Metadata
from tracetui.formats.gguf.files import read_files
from tracetui.models.tokenizers.gguf.cuts import DEFAULT, WORD_CUTS, WordCuts
from tracetui.models.tokenizers.gguf.special_tokens import SpecialTokens
from tracetui.models.tokenizers.gguf.vocabulary import PREFIX, TokenKind, read_vocabulary, special_id
from tracetui.models.tokenizers.gguf.words import NoText, PlainText, RankedMerges, ScoredPieces
from tracetui.models.tokenizers.protocol import check_ids, text_bytes
from tracetui.models.tokenizers.vocabulary import Spelling, token_bytes
from tracetui.recording.record import Token
from tracetui.text import visible

_MODEL, _PRE, _MERGES = f"{PREFIX}model", f"{PREFIX}pre", f"{PREFIX}merges"
_BY_MERGES, _BY_SCORES, _BY_CHARACTERS = "gpt2", "llama", "gemma4"
_ADVICE = "give the model's own tokenizer.json (--tokenizer), or ids (--tokens)"
_NO_CUTS = (
    "tokenizer.ggml.pre is missing, as in files of before May 2024: words are cut in llama.cpp's default way, "
    "and the model may have learnt others (--tokenizer takes its own tokenizer.json)"
)
_KEEP_BLANKS = ("<unk>", "<s>", "<|endoftext|>")
_AS_SPELLED = (TokenKind.CONTROL, TokenKind.USER_DEFINED, TokenKind.UNKNOWN)


def open_gguf_tokenizer(path: Path, model_vocab: int) -> GgufTokenizer:
    """The tokenizer of a GGUF file. Raises InputError: no such file, none in it, one that contradicts itself."""
    return GgufTokenizer(read_files(path).metadata, model_vocab)


class GgufTokenizer:
    """Text to the ids that llama.cpp makes of it; a way of tokenizing that isn't known refuses text by its name."""

    is_llama3 = False

    def __init__(self, metadata: Metadata, model_vocab: int) -> None:
        """`model_vocab` is the number of ids the model has."""
        self._vocabulary = read_vocabulary(metadata)
        self._model_vocab = model_vocab
        model = metadata.needed_text(_MODEL)
        self._cuts, self.remarks = _cuts(metadata, model)
        self._spelling = _spelling(model, self._cuts)
        self._plain = self._plain_text(metadata, model)
        self._special = SpecialTokens(self._vocabulary, self._strip_behind(metadata))
        bos, eos = _usual_ids(model, self._cuts)
        adds_bos = metadata.flag(f"{PREFIX}add_bos_token")
        if adds_bos is None or model == _BY_CHARACTERS:  # whose files say no, and llama.cpp puts one there all the same
            adds_bos = model == _BY_SCORES or (self._cuts is not None and self._cuts.adds_bos)
        self._bos = special_id(metadata, "bos", self.vocab_size, bos) if adds_bos else None
        adds_eos = metadata.flag(f"{PREFIX}add_eos_token")
        self._eos = special_id(metadata, "eos", self.vocab_size, eos) if adds_eos else None
        self._name = f"{metadata.path.name} of {metadata.path.absolute().parent} ({self.vocab_size:,} tokens)"

    @property
    def name(self) -> str:
        return self._name

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary.tokens)

    @property
    def special_names(self) -> frozenset[str]:
        return self._special.names

    def encode(self, text: str, *, specials: bool = True, around: bool = True) -> list[Token]:
        text_bytes(text)
        tokens = [self.token(self._bos)] if around and self._bos is not None else []
        begins = True
        for part in self._special.cut(text, specials):
            if isinstance(part, int):
                tokens.append(self.token(part))
            else:
                tokens += self._tokens_of(part, begins)
            begins = isinstance(part, int)
        if around and self._eos is not None:
            tokens.append(self.token(self._eos))
        check_ids((token.id for token in tokens), self._model_vocab)
        return tokens

    def decode(self, ids: Iterable[int]) -> bytes:
        return b"".join(self.token(each).bytes for each in ids)

    def token(self, id: int) -> Token:  # noqa: A002
        if not 0 <= id < self.vocab_size:
            return Token(id, b"")
        spelled = self._vocabulary.tokens[id]
        spelling = Spelling.PLAIN if self._vocabulary.kinds[id] in _AS_SPELLED else self._spelling
        return Token(id, token_bytes(spelled, spelling), self._vocabulary.special(id))

    def _tokens_of(self, text: str, begins: bool) -> list[Token]:
        """The tokens of plain text; the blank that was put in front of it isn't the text's."""
        tokens = [self.token(token_id) for token_id in self._plain.encode(text, begins)]
        if not tokens:
            return []
        first = tokens[0]
        if first.bytes.startswith(b" ") and sum(len(token.bytes) for token in tokens) == len(text.encode()) + 1:
            tokens[0] = Token(first.id, first.bytes[1:], first.special)
        return tokens

    def _plain_text(self, metadata: Metadata, model: str) -> PlainText:
        if model == _BY_SCORES:
            blank_first = metadata.flag(f"{PREFIX}add_space_prefix")
            return ScoredPieces(self._vocabulary, blank_first is None or blank_first)
        if model not in (_BY_MERGES, _BY_CHARACTERS):
            problem = f"is a kind of tokenizer that tracetui doesn't have; {_ADVICE}"
            return NoText(bad_field(metadata.path, _MODEL, problem, visible(model, 80)))
        if self._cuts is None:
            problem = f"is a way of cutting words that tracetui doesn't know, and another makes other ids; {_ADVICE}"
            return NoText(bad_field(metadata.path, _PRE, problem, visible(metadata.needed_text(_PRE), 80)))
        merges = metadata.texts(_MERGES)
        if merges is None:
            metadata.fail(_MERGES, "is missing, and a tokenizer of this kind needs its merges")
        return RankedMerges(self._vocabulary, merges, self._cuts)

    def _strip_behind(self, metadata: Metadata) -> frozenset[int]:
        """Special tokens behind which blanks are left out: Phi-3's, which llama.cpp tells by the model's name."""
        name = (metadata.text("general.name") or "").lower()
        if "phi-3" not in name and "phi3" not in name:
            return frozenset()
        return frozenset(range(self.vocab_size)) - {self._vocabulary.ids.get(name) for name in _KEEP_BLANKS}


def _cuts(metadata: Metadata, model: str) -> tuple[WordCuts | None, tuple[str, ...]]:
    """How words are cut, None if it isn't known, and what has to be said of it."""
    if model == _BY_CHARACTERS:
        return WORD_CUTS[model], ()
    pre = metadata.text(_PRE)
    if model == _BY_MERGES and not pre:
        return DEFAULT, (f"{metadata.path.name}: {_NO_CUTS}",)
    return WORD_CUTS.get(pre or ""), ()


def _spelling(model: str, cuts: WordCuts | None) -> Spelling:
    by_bytes = model == _BY_MERGES and (cuts is None or not cuts.by_characters)
    return Spelling.BYTE_LEVEL if by_bytes else Spelling.SENTENCEPIECE


def _usual_ids(model: str, cuts: WordCuts | None) -> tuple[int | None, int | None]:
    """The ids of begin and end of text where the file gives none, as llama.cpp has them."""
    if model == _BY_SCORES:
        return 1, 2
    if model == _BY_MERGES:
        return (None if cuts is None or not cuts.has_bos else 11), 11
    return None, None

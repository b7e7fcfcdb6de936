"""From what a recipe or a person names to a tokenizer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.file_kinds import is_gguf
from tracetui.models.tokenizers.families import BUILTIN, ENCODINGS, LLAMA3, Family
from tracetui.models.tokenizers.gguf import open_gguf_tokenizer
from tracetui.models.tokenizers.ids_alone import IdsAlone
from tracetui.models.tokenizers.json_tokenizer import JsonTokenizer
from tracetui.models.tokenizers.protocol import Tokenizer
from tracetui.models.tokenizers.rank_tokenizer import RankTokenizer
from tracetui.models.tokenizers.ranks import read_ranks
from tracetui.models.tokenizers.whereabouts import find_rank_file, in_folder
from tracetui.text import visible

BUILTIN_RANKS = Path(__file__).with_name("builtin.tiktoken")
_FEWEST_RANKS = 256


def load_tokenizer(spec: str, vocab_size: int, bos: int | None = None) -> Tokenizer:
    """The tokenizer for a model with `vocab_size` token ids; nothing is ever downloaded.

    `spec` is `builtin`, a rank file, a tokenizer.json, a folder with one of them, a GGUF file, or an encoding's name
    (`cl100k_base`) whose rank file is at hand. `bos` is put in front of prompts by the named encodings, which
    have no begin-of-text token of their own; the others know theirs. Raises InputError.
    """
    path = tokenizer_file(spec)
    if path is None:
        return _builtin(vocab_size)
    if spec in ENCODINGS:
        return _from_ranks(path, ENCODINGS[spec], vocab_size, bos)
    if is_gguf(path):
        return open_gguf_tokenizer(path, vocab_size)
    if path.suffix == ".json":
        return JsonTokenizer(path, vocab_size)
    if not path.exists():
        known = ", ".join(("builtin", *ENCODINGS))
        raise InputError(f"tokenizer: no such file or folder, nor one of {known}, got {visible(spec, 80)!r}")
    family = ENCODINGS.get(path.stem, LLAMA3) if path.suffix == ".tiktoken" else LLAMA3
    return _from_ranks(path, family, vocab_size, bos)


def tokenizer_file(spec: str) -> Path | None:
    """The file that `load_tokenizer` reads; None for the built-in one. Raises InputError where it looked in vain."""
    if spec == "builtin":
        return None
    if spec in ENCODINGS:
        return find_rank_file(ENCODINGS[spec])
    path = Path(spec)
    return in_folder(path) if path.is_dir() else path


@lru_cache(maxsize=4)
def _builtin(vocab_size: int) -> Tokenizer:
    """The built-in tokenizer, cut to the model's vocabulary: as ranks are in order of merging, the first ones suffice.

    If not even all bytes fit, a tokenizer that shows ids only. Kept, as runs that follow each other share it.
    """
    ranks = read_ranks(BUILTIN_RANKS)
    specials = len(BUILTIN.specials(0))
    kept = min(len(ranks), vocab_size - specials)
    if kept < _FEWEST_RANKS:
        return IdsAlone(vocab_size, _FEWEST_RANKS + specials)
    name = f"built-in byte-level BPE, {kept:,} tokens (not the model's own)"
    return RankTokenizer(name, {token: rank for token, rank in ranks.items() if rank < kept}, BUILTIN, vocab_size)


def _from_ranks(path: Path, family: Family, vocab_size: int, bos: int | None) -> Tokenizer:
    ranks = read_ranks(path, family.holes)
    if family.ranks is not None and len(ranks) != family.ranks:
        raise bad_field(path, family.name, f"its rank file has {family.ranks:,} tokens", f"{len(ranks):,}")
    known = len(ranks) + len(family.specials(len(ranks)))
    name = f"{path.name} of {path.absolute().parent} ({family.name}, {known:,} tokens)"
    return RankTokenizer(name, ranks, family, vocab_size, bos)

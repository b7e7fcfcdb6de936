"""Rank files, `base64 SP rank` per line: parsed and checked here, as the library's own loader caches and panics."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.paths import read_bounded

MAX_BYTES = 64 * 2**20
_MAX_DIGITS = 9


def read_ranks(path: Path, holes: Collection[int] = ()) -> dict[bytes, int]:
    """The tokens of a rank file by their bytes. Raises InputError naming file, line and what was found."""
    return parse_ranks(read_bounded(path, MAX_BYTES), path, holes)


def parse_ranks(content: bytes, where: str | Path, holes: Collection[int] = ()) -> dict[bytes, int]:
    """As `read_ranks`, from the file's content; `holes` are ranks that may be missing."""
    _refuse_sentencepiece(content, where)
    ranks: dict[bytes, int] = {}
    line_of_rank: dict[int, int] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        token, rank = _parse_line(line, where, number)
        if token in ranks:
            raise bad_field(
                where, f"line {number}", f"the token is already in line {line_of_rank[ranks[token]]}", token
            )
        if rank in line_of_rank:
            raise bad_field(where, f"line {number}", f"the rank is already in line {line_of_rank[rank]}", rank)
        ranks[token] = rank
        line_of_rank[rank] = number
    _check_complete(ranks, line_of_rank, where, holes)
    return ranks


def format_ranks(tokens: Sequence[bytes]) -> bytes:
    """The content of a rank file: each token's place in the list is its rank."""
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))


def _parse_line(line: bytes, where: str | Path, number: int) -> tuple[bytes, int]:
    text = line.decode("utf-8", errors="backslashreplace")
    encoded, blank, rank = line.partition(b" ")
    if not blank:
        raise bad_field(where, f"line {number}", "must be a token in base64, a blank and its rank", text)
    try:
        token = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise bad_field(where, f"line {number}", "the token is not valid base64", text) from None
    if not token:
        raise bad_field(where, f"line {number}", "the token is empty", text)
    if not rank.isdigit() or len(rank) > _MAX_DIGITS:
        raise bad_field(where, f"line {number}", f"the rank must be a whole number of up to {_MAX_DIGITS} digits", text)
    return token, int(rank)


def _check_complete(
    ranks: Mapping[bytes, int], line_of_rank: Mapping[int, int], where: str | Path, holes: Collection[int]
) -> None:
    if not ranks:
        raise InputError(f"{where}: has no tokens")
    for rank in range(len(ranks) + len(holes)):
        if rank not in line_of_rank and rank not in holes:
            top = max(line_of_rank)
            problem = f"rank {rank} is missing although there are ranks up to it; is the file whole?"
            raise bad_field(where, f"line {line_of_rank[top]}", problem, top)
    for byte in range(256):
        if bytes([byte]) not in ranks:
            raise InputError(
                f"{where}: the single byte 0x{byte:02X} is missing, so some texts can't be encoded; "
                f"all 256 are needed, got {sum(len(token) == 1 for token in ranks)}"
            )


def _refuse_sentencepiece(content: bytes, where: str | Path) -> None:
    """A SentencePiece model is a protobuf whose first message is its first piece, nearly always `<unk>`."""
    if content.startswith(b"\n") and b"<unk>" in content[:64]:
        raise InputError(
            f"{where}: is a SentencePiece model (the form of Llama 2), which tracetui does not read; "
            "give the tokenizer.json of the same model"
        )

"""Rank files: what is read, and every way in which one can be broken."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.errors import InputError
from tracetui.models.tokenizers.ranks import MAX_BYTES, format_ranks, parse_ranks, read_ranks

BYTES = [bytes([byte]) for byte in range(256)]
WHOLE = format_ranks(BYTES)


def line(token: bytes, rank: object) -> bytes:
    return b"%s %s\n" % (base64.b64encode(token), str(rank).encode())


@given(merged=st.lists(st.binary(min_size=2, max_size=6), unique=True, max_size=20))
def test_reading_undoes_writing(merged: list[bytes]) -> None:
    tokens = BYTES + merged
    assert parse_ranks(format_ranks(tokens), "x") == {token: rank for rank, token in enumerate(tokens)}


def test_blank_lines_and_carriage_returns_are_no_lines() -> None:
    assert parse_ranks(b"\n" + WHOLE.replace(b"\n", b"\r\n") + b"\n\n", "x") == parse_ranks(WHOLE, "x")


def test_order_of_lines_does_not_matter() -> None:
    reversed_lines = b"".join(reversed(WHOLE.splitlines(keepends=True)))
    assert parse_ranks(reversed_lines, "x") == parse_ranks(WHOLE, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f: has no tokens"),
        (b"\n\n", "f: has no tokens"),
        (WHOLE + b"YWI=256", "f: line 257: must be a token in base64, a blank and its rank, got 'YWI=256'"),
        (WHOLE + b"YW?I= 256", "f: line 257: the token is not valid base64, got 'YW?I= 256'"),
        (WHOLE + b"YWI 256", "f: line 257: the token is not valid base64"),
        (WHOLE + b"\xff\xfe 256", "f: line 257: the token is not valid base64"),
        (WHOLE + b" 256", "f: line 257: the token is empty"),
        (WHOLE + b"YWI= 256.5", "f: line 257: the rank must be a whole number of up to 9 digits, got 'YWI= 256.5'"),
        (WHOLE + b"YWI= -1", "f: line 257: the rank must be a whole number"),
        (WHOLE + b"YWI=  256", "f: line 257: the rank must be a whole number"),
        (WHOLE + b"YWI= 256 7", "f: line 257: the rank must be a whole number"),
        (WHOLE + b"YWI= " + b"9" * 5000, "f: line 257: the rank must be a whole number"),
        (WHOLE + "YWI= ²".encode(), "f: line 257: the rank must be a whole number"),
        (WHOLE + line(b"a", 256), "f: line 257: the token is already in line 98, got b'a'"),
        (WHOLE + line(b"ab", 97), "f: line 257: the rank is already in line 98, got 97"),
        (WHOLE + line(b"ab", 257), "f: line 257: rank 256 is missing"),
        (WHOLE.replace(line(b"b", 98), line(b"ab", 98)), "f: the single byte 0x62 is missing"),
    ],
)
def test_broken_files(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(message)):
        parse_ranks(content, "f")


def test_a_hole_is_allowed_only_where_it_belongs() -> None:
    content = WHOLE + line(b"ab", 257)
    assert parse_ranks(content, "f", holes={256})[b"ab"] == 257
    with pytest.raises(InputError, match="rank 256 is missing"):
        parse_ranks(content, "f", holes={255})


def test_sentencepiece_is_recognised() -> None:
    protobuf = b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02\n\x0c\n\x03<s>"
    with pytest.raises(InputError, match=r"f: is a SentencePiece model .* give the tokenizer.json"):
        parse_ranks(protobuf, "f")


@pytest.mark.parametrize(
    ("head", "message"),
    [(b"version https://git-lfs", "git-lfs pointer"), (gzip.compress(b"IQ== 0", mtime=0), "gzip"), (b"<html>", "HTML")],
)
def test_another_thing_in_its_place(tmp_path: Path, head: bytes, message: str) -> None:
    file = tmp_path / "tokenizer.model"
    file.write_bytes(head)
    with pytest.raises(InputError, match=message):
        read_ranks(file)


def test_too_large(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.model"
    with file.open("wb") as sparse:
        sparse.truncate(MAX_BYTES + 1)
    with pytest.raises(InputError, match="larger than"):
        read_ranks(file)

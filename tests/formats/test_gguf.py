"""GGUF headers: read as they are written, and refused by file and field where they aren't what they should be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats import gguf_bytes as g
from tests.formats.gguf_bytes import Tensor, usual
from tracetui.errors import InputError
from tracetui.formats.gguf import Texts, read_header
from tracetui.formats.gguf.cursor import MAX_HEADER_BYTES

TOKENS = ["a", "ĠParis", "日本", "", "x" * 300]
METADATA = {
    "general.architecture": (g.TEXT, g.text("llama")),
    "general.alignment": (g.U32, struct.pack("<I", 64)),
    "llama.block_count": (g.U64, struct.pack("<Q", 2**40)),
    "llama.eps": (g.F32, struct.pack("<f", 1e-5)),
    "flag": (g.BOOL, b"\1"),
    "tokens": (g.ARRAY, g.array(g.TEXT, TOKENS)),
    "scores": (g.ARRAY, g.array(g.F32, [0.5, -1.0])),
    "flags": (g.ARRAY, g.array(g.BOOL, [True, False])),
    "nested": (g.ARRAY, g.array(g.ARRAY, [g.array(g.I32, [1, 2]), g.array(g.TEXT, ["b"])])),
}
TENSORS = [Tensor("b", [64, 3], 2, 128), Tensor("a", [4, 2], 0, 0), Tensor("one", [], 1, 64)]
DATA = 128 + 3 * 2 * 18


def refusal(path: Path, content: bytes) -> str:
    """What is said of a file of this content, without its path: one line that a terminal may show."""
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_header(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert len(message) < 500
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("version", [2, 3])
def test_what_is_written_is_read(path: Path, version: int) -> None:
    path.write_bytes(usual(METADATA, TENSORS, DATA, version=version, alignment=64))
    header = read_header(path)
    metadata = header.metadata
    assert (header.version, header.alignment, header.architecture) == (version, 64, "llama")
    assert metadata.integer("llama.block_count") == 2**40
    assert metadata.number("llama.eps") == 1e-5
    assert metadata.flag("flag") is True
    assert metadata.texts("tokens") == TOKENS
    assert np.array_equal(metadata.numbers("scores"), [0.5, -1.0])  # type: ignore[arg-type]
    assert np.array_equal(metadata.numbers("flags"), [True, False])  # type: ignore[arg-type]
    nested: Any = metadata["nested"]
    assert (nested[0].tolist(), list(nested[1])) == ([1, 2], ["b"])
    first = path.stat().st_size - DATA
    assert [
        (name, at.type.name, at.shape, at.start - first, at.stop - first) for name, at in header.tensors.items()
    ] == [
        ("a", "F32", (2, 4), 0, 32),
        ("one", "F16", (), 64, 66),
        ("b", "Q4_0", (3, 64), 128, DATA),
    ]


def test_values_are_asked_for_by_their_kind(path: Path) -> None:
    path.write_bytes(usual(METADATA))
    metadata = read_header(path).metadata
    for ask_for in (metadata.text, metadata.integer, metadata.number, metadata.flag, metadata.texts, metadata.numbers):
        assert ask_for("absent") is None
    wrong: list[tuple[Callable[[str], object], str, str]] = [
        (metadata.text, "flag", "must be a text, got True"),
        (metadata.integer, "flag", "must be a whole number, got True"),
        (metadata.number, "tokens", "must be a finite number, got Texts of 5"),
        (metadata.texts, "scores", r"must be an array of texts, got \[0\.5, -1\.0\]"),
        (metadata.needed_text, "absent", "is missing"),
        (metadata.needed_integer, "absent", "is missing"),
    ]
    for ask, key, problem in wrong:
        with pytest.raises(InputError, match=f"{key}: {problem}"):
            ask(key)


def test_texts_are_a_sequence_that_keeps_what_is_no_utf_8(path: Path) -> None:
    path.write_bytes(usual({"tokens": (g.ARRAY, g.array(g.TEXT, [b"\xe2\x82", "b", "c"]))}))
    texts = read_header(path).metadata["tokens"]
    assert isinstance(texts, Texts)
    assert (texts[-1], texts[1:], len(texts)) == ("c", ["b", "c"], 3)
    assert texts[0].encode("utf-8", "surrogateescape") == b"\xe2\x82"
    with pytest.raises(IndexError):
        texts[3]


def test_a_large_vocabulary_is_read_over_several_pieces_of_the_file(path: Path) -> None:
    tokens = [f"token{index}" for index in range(100_000)]
    path.write_bytes(usual({"tokens": (g.ARRAY, g.array(g.TEXT, tokens))}))
    assert read_header(path).metadata["tokens"] == tokens


HUGE = 2**40
Q4_0_ROW = [Tensor("w", [33, 2], 2, 0)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no GGUF file: it begins with b''"),
        (b"<html></html>", "is an HTML page"),
        (b"GGML" + bytes(40), "is no GGUF file: it begins with b'GGML'"),
        (b"GGUF\3\0\0\0", "number of tensors: reaches to byte 16, and the file ends after 8"),
        (b"GGUF\1\0\0\0" + bytes(20), "version: 2 and 3 are read"),
        (b"GGUF\0\0\0\3" + bytes(20), "version: the file is big-endian"),
        (usual({}, tensor_count=HUGE), "number of tensors: at most 100,000 are read, got 1099511627776"),
        (usual({}, key_count=HUGE), "number of metadata keys: at most 100,000 are read"),
        (
            usual({}, key_count=50_000),
            "number of metadata keys: the rest of the file, 8 bytes, can't hold so many: it was cut short",
        ),
        (g.header([struct.pack("<QQ", 60_000, 0)], [], key_count=1), "metadata key 0: the rest of the file, 32 bytes,"),
        (g.header([struct.pack("<QQ", HUGE, 0)], [], key_count=1), "metadata key 0: at most 65,535 are read"),
        (usual({"k": (99, b"")}), "k: is of a type that GGUF doesn't have, got 99"),
        (usual({"k": (g.BOOL, b"\2")}), "k: must be 0 or 1 as a truth value, got 2"),
        (usual({"k": (g.TEXT, struct.pack("<Q", HUGE))}), "k: at most 67,108,864 are read"),
        (usual({"k": (g.TEXT, struct.pack("<Q", 5000))}), "k: the rest of the file"),
        (usual({"k": (g.ARRAY, g.array(g.TEXT, [], HUGE))}), "k: at most 2,000,000 are read, got 1099511627776"),
        (usual({"k": (g.ARRAY, g.array(g.U8, [], HUGE))}), "k: at most "),
        (usual({"k": (g.ARRAY, struct.pack("<IQ", g.BOOL, 2) + b"\1\7")}), "k: must be 0 or 1 as a truth value, got 7"),
        (usual({"k": (g.ARRAY, g.array(50, []))}), "k: is an array of a type that GGUF doesn't have, got 50"),
        (usual({"k": (g.ARRAY, g.array(g.ARRAY, [b""], 20_000))}, data=400_000), "k: at most 10,000 arrays"),
        (usual({"k": (g.ARRAY, struct.pack("<IQ", g.ARRAY, 1) * 50)}), "k: arrays stand in arrays more than 4 deep"),
        (g.header([g.entry("k", g.U8, b"\1")] * 2, []), "k: stands in the metadata twice"),
        (usual({"general.alignment": (g.U32, bytes(4))}), "general.alignment: must be a power of two, got 0"),
        (usual({"general.alignment": (g.U32, b"\x30\0\0\0")}), "general.alignment: must be a power of two, got 48"),
        (usual({"general.alignment": (g.TEXT, g.text("32"))}), "general.alignment: must be a whole number, got '32'"),
        (usual({}, [Tensor("w", [1] * 64, 0, 0)]), "w: must have at most 4 axes, got 64"),
        (usual({}, [Tensor("w", [2**31] * 4, 0, 0)], 64), "w: ends at byte"),
        (usual({}, [Tensor("w", [4], 0, HUGE)], 64), "w: ends at byte 1,099,511,627,856, and the file after 128"),
        (usual({}, [Tensor("w", [40], 0, 0)], 64), "w: ends at byte"),
        (usual({}, [Tensor("w", [4], 0, 4)], 64), "w: offset: must be a multiple of 32, got 4"),
        (usual({}, [Tensor("w", [4], 3333, 0)], 64), "w: is of a type that tracetui doesn't know, got 3333"),
        (usual({}, [Tensor("w", [32], 31, 0)], 64), "w: is of type Q4_0_4_4, which llama.cpp itself no longer reads"),
        (usual({}, Q4_0_ROW, 640), r"w: shape: rows of Q4_0 must hold a multiple of 32 elements, got [2, 33]"),
        (usual({}, [Tensor("w", [], 2, 0)], 640), "w: shape: rows of Q4_0 must hold a multiple of 32 elements, got []"),
        (usual({}, [Tensor("w", [4], 0, 0), Tensor("w", [4], 0, 32)], 64), "w: stands there twice"),
        (usual({}, [Tensor("a", [16], 0, 0), Tensor("b", [4], 0, 32)], 64), "b: offset: its bytes begin at 32, before"),
        (usual({}, [Tensor("\x1b[2J", [], 2, 0)], 64), "␛[2J: shape"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_it_says_is_refused_by_place_and_reason(path: Path, content: bytes, message: str) -> None:
    assert refusal(path, content).startswith(message)


def test_no_more_is_read_before_the_tensors_than_any_model_needs(path: Path) -> None:
    """A file with a hole of zeros, which takes no room on the disk."""
    content = usual({"k": (g.ARRAY, struct.pack("<IQ", g.U8, MAX_HEADER_BYTES))})
    path.write_bytes(content)
    with path.open("r+b") as file:
        file.truncate(2 * MAX_HEADER_BYTES)
    with pytest.raises(InputError, match="k: at most 134,217,728 bytes are read before the tensors"):
        read_header(path)


def test_a_file_cut_anywhere_is_refused(path: Path) -> None:
    whole = usual(METADATA, TENSORS, DATA, alignment=64)
    for length in range(len(whole)):
        refusal(path, whole[:length])

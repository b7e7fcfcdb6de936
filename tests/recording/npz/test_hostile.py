"""Files that lie: each is refused in words that name the file and the member, before it costs anything."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.recording.npz.raw import (
    ARRAY,
    Part,
    at,
    changed,
    deflated,
    document_of,
    good_parts,
    npy,
    pack,
    text_npy,
    with_header,
)
from tracetui.errors import InputError
from tracetui.recording.npz import read_trace

Parts = dict[str, Part]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return good_parts(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad") / "bad.npz"


def refusal(target: Path, content: bytes) -> str:
    target.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_trace(target)
    message = str(caught.value)
    assert message.startswith(f"{target}: ")
    assert message.isprintable()
    assert len(message) < len(str(target)) + 500
    return message.removeprefix(f"{target}: ")


def with_npy(parts: Parts, content: bytes) -> Iterator[Part]:
    return changed(parts, content=content)


def described(descr: str, shape: str = "(1, 3, 16)", fortran: str = "False", version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode() + bytes(192)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    return stream.getvalue()


def hidden_inside(parts: Parts) -> Iterator[Part]:
    """A member whose place lies in the values of another."""
    inner = Part("inner.npy", npy(np.zeros(4)))
    outer = Part("outer.npy", npy(np.frombuffer(inner.local(), np.uint8)))
    yield outer
    yield replace(inner, offset=len(outer.local()) - len(inner.local()))
    yield from parts.values()


def data_size(parts: Parts) -> int:
    return sum(len(part.local()) for part in parts.values())


ZIP64_LIE = struct.pack("<2H2Q", 1, 16, 2**60, 2**60)
BAD_MEMBERS: dict[str, tuple[Callable[[Parts], Iterator[Part]], str]] = {
    "name twice": (lambda p: iter([*p.values(), p[ARRAY]]), "stands twice"),
    "too few bytes": (lambda p: with_npy(p, p[ARRAY].content[:-4]), "need 192 bytes, got 188"),
    "too many bytes": (lambda p: with_npy(p, p[ARRAY].content + b"1234"), "need 192 bytes, got 196"),
    "larger shape": (lambda p: with_npy(p, described("'<f4'", "(9999999999, 3)")), "need 119,999,999,988 bytes"),
    "endless shape": (lambda p: with_npy(p, described("'<f4'", "(9999999999, 9999999999)")), "larger than any file"),
    "long number": (lambda p: with_npy(p, described("'<f4'", f"({'9' * 50},)")), "its shape"),
    "high rank": (lambda p: with_npy(p, described("'<f4'", f"({'1,' * 65})")), "at most 64 lengths"),
    "negative shape": (lambda p: with_npy(p, described("'<f4'", "(-1, 3)")), "not one that numpy writes"),
    "pickled objects": (lambda p: with_npy(p, pickled()), "dtype has no place in a trace file, got '|O'"),
    "big endian": (lambda p: with_npy(p, described("'>f4'")), "got '>f4'"),
    "text": (lambda p: with_npy(p, described("'<U4'")), "got '<U4'"),
    "void": (lambda p: with_npy(p, described("'|V8'")), "got '|V8'"),
    "time": (lambda p: with_npy(p, described("'<M8[ns]'")), "got '<M8[ns]'"),
    "structure": (lambda p: with_npy(p, described("[('a', '<f4')]")), "not one that numpy writes"),
    "escape in dtype": (lambda p: with_npy(p, described("'\x1b[2J'")), "no place"),
    "code in header": (lambda p: with_npy(p, described("exit(1)")), "not one that numpy writes"),
    "Fortran order": (lambda p: with_npy(p, described("'<f4'", fortran="True")), "Fortran order"),
    "npy version 2": (lambda p: with_npy(p, described("'<f4'", version=b"\2\0")), "version 1.0"),
    "long npy header": (lambda p: with_npy(p, b"\x93NUMPY\1\0\xff\xff" + bytes(66000)), "longer than 10,000 bytes"),
    "no npy file": (lambda p: with_npy(p, b"nothing of the kind"), "version 1.0"),
    "empty member": (lambda p: with_npy(p, b""), "too small"),
    "half an npy header": (lambda p: with_npy(p, p[ARRAY].content[:40]), "too small"),
    "encrypted": (lambda p: changed(p, flags=1), "is encrypted"),
    "strong encryption": (lambda p: changed(p, flags=0x41), "is encrypted"),
    "sizes behind the data": (lambda p: changed(p, flags=8), "flags that are not read"),
    "bomb": (lambda p: changed(p, method=8, content=deflated(bytes(1 << 26)), size=1 << 26), "version 1.0"),
    "bomb that lies": (lambda p: changed(p, method=8, content=deflated(bytes(99)), size=1 << 26), "more than deflate"),
    "unknown method": (lambda p: changed(p, method=14), "method that is not read, got 14"),
    "other name inside": (lambda p: changed(p, local_name="model.embed_tokenz.npy"), "differs from the zip directory"),
    "other size inside": (lambda p: changed(p, local_size=7), "differs from the zip directory"),
    "other checksum inside": (lambda p: changed(p, local_crc=7), "differs from the zip directory"),
    "broken extra field": (lambda p: changed(p, extra=b"\1\0\xff\0abc"), "damaged extra field"),
    "half an extra field": (lambda p: changed(p, extra=b"\1\0\1"), "damaged extra field"),
    "extra field twice": (lambda p: changed(p, extra=b"\7\0\0\0" * 2), "damaged extra field"),
    "missing zip64 sizes": (lambda p: changed(p, local_size=0xFFFFFFFF), "lacks the zip64 sizes"),
    "zip64 sizes that lie": (lambda p: changed(p, local_size=0xFFFFFFFF, extra=ZIP64_LIE), "differs from the zip dir"),
    "missing zip64 entry": (lambda p: changed(p, size=0xFFFFFFFF), "lacks the zip64 sizes"),
    "larger than the file": (lambda p: changed(p, size=1 << 30), "outside of the file's data"),
    "pointing outside": (lambda p: changed(p, offset=1 << 30), "outside of the file's data"),
    "pointing into the directory": (lambda p: changed(p, offset=data_size(p) - 10, size=0), "does not begin"),
    "pointing at nothing": (lambda p: changed(p, offset=1), "does not begin"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_a_member_that_lies_is_named(case: str, parts: Parts, target: Path) -> None:
    build, needle = BAD_MEMBERS[case]
    message = refusal(target, pack(build(parts)))
    assert message.startswith(f"{ARRAY}.npy: ")
    assert needle in message


def test_members_that_share_bytes_are_refused(parts: Parts, target: Path) -> None:
    assert refusal(target, pack(hidden_inside(parts))).startswith("inner.npy: overlaps")


BAD_NAMES = ["../x.npy", "/etc/x.npy", "a\\b.npy", "é.npy", "a\0b.npy", "x.txt", "a\x1b[2J.npy", "", "x" * 300 + ".npy"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_trace_has_are_refused(name: str, parts: Parts, target: Path) -> None:
    message = refusal(target, pack([*parts.values(), Part(name, npy(np.zeros(1)))]))
    assert "has no name that a trace file's member has" in message


def end_of(content: bytes, **change: int) -> bytes:
    """The file with other numbers in its end record."""
    fields = ["disk", "directory_disk", "here", "entries", "size", "offset", "comment"]
    numbers = dict(zip(fields, struct.unpack("<4H2IH", content[-18:]), strict=True))
    return content[:-18] + struct.pack("<4H2IH", *{**numbers, **change}.values())


def zip64_end(content: bytes, **change: int) -> bytes:
    """The file with a zip64 end record, whose numbers `change` can set."""
    _, _, here, entries, size, offset, _ = struct.unpack("<4H2IH", content[-18:])
    record = {"rest": 44, "disk": 0, "here": here, "entries": entries, "size": size, "offset": offset, **change}
    at = change.get("at", len(content) - 22)
    numbers = (45, 45, record["disk"], 0, record["here"], record["entries"], record["size"], record["offset"])
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", record["rest"], *numbers)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, change.get("disks", 1))
    return (
        content[:-22]
        + end64
        + locator
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    )


BAD_ENDS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty file": (lambda good: b"", "list of members is missing"),
    "only an end": (lambda good: good[-22:], "does not lie where"),
    "text": (lambda good: b"not a zip file at all, but long enough", "list of members is missing"),
    "bytes after the end": (lambda good: good + b"\0", "list of members is missing"),
    "bytes before the start": (lambda good: b"#!/bin/sh\n" + good, "does not lie where"),
    "comment": (lambda good: end_of(good, comment=5), "comment"),
    "several parts": (lambda good: end_of(good, disk=1), "several parts"),
    "entries elsewhere": (lambda good: end_of(good, here=1), "several parts"),
    "fewer entries": (lambda good: end_of(good, here=1, entries=1), "is longer than its members"),
    "more entries": (lambda good: end_of(good, here=99, entries=99), "is shorter than its members"),
    "directory elsewhere": (lambda good: end_of(good, offset=3), "does not lie where"),
    "directory of another size": (lambda good: end_of(good, size=3), "does not lie where"),
    "no zip64 record": (lambda good: end_of(good, offset=2**32 - 1), "zip64"),
    "a million entries": (lambda good: zip64_end(good, here=10**6, entries=10**6), "more than 500,002 members"),
    "huge directory": (lambda good: zip64_end(good, size=2**40), "does not lie where"),
    "zip64 elsewhere": (lambda good: zip64_end(good, at=4), "zip64"),
    "zip64 disks": (lambda good: zip64_end(good, disks=2), "zip64"),
    "zip64 disk": (lambda good: zip64_end(good, disk=2), "zip64"),
    "zip64 longer": (lambda good: zip64_end(good, rest=90), "zip64"),
    "zip64 counts": (lambda good: zip64_end(good, here=1), "zip64"),
}


@pytest.mark.parametrize("case", BAD_ENDS)
def test_a_directory_that_lies_is_refused(case: str, parts: Parts, target: Path) -> None:
    build, needle = BAD_ENDS[case]
    message = refusal(target, build(pack(parts.values())))
    assert message.startswith(("zip directory: ", "is a zip file that was cut short"))
    assert needle in message


def test_the_zip64_record_of_these_tests_is_sound(parts: Parts, target: Path) -> None:
    target.write_bytes(zip64_end(pack(parts.values())))
    assert len(read_trace(target)) == 6


def test_a_file_cut_short_anywhere_is_refused(parts: Parts, target: Path) -> None:
    good = pack(parts.values())
    for sixteenth in range(16):
        assert "cut short" in refusal(target, good[: len(good) * sixteenth // 16])


@pytest.mark.parametrize("member", ["__tracetui__", "__timing__"])
def test_the_header_must_be_there_and_sound(member: str, parts: Parts, target: Path) -> None:
    rest = [part for key, part in parts.items() if key != member]
    assert refusal(target, pack(rest)).startswith(f"{member}: is missing")
    part = parts[member]
    damaged = replace(part, content=part.content[:-2] + b"!}", crc=zlib.crc32(part.content))
    assert "checksum differs" in refusal(target, pack([*rest, damaged]))
    assert "row of uint8" in refusal(target, pack([*rest, replace(part, content=npy(np.zeros((1, 8))))]))
    assert f"{member}: is not JSON" in refusal(target, pack([*rest, replace(part, content=text_npy("{"))]))


_WEIGHT: dict[str, object] = {"name": "a.weight", "count": 1, "numel": 4, "first": [0]}
_CALL: dict[str, object] = {
    **dict.fromkeys(("softcap", "sliding_window")),
    "scale": 1.0,
    "is_causal": True,
    "kernel": "sdpa",
    "heads": 1,
    "kv_heads": 1,
}
_NUMBERS: dict[str, object] = dict.fromkeys(("l2", "mean", "std", "min", "max")) | {"zeros": 0}
BAD_FIELDS: list[tuple[str, object, str]] = [
    ("format", "1", "must be a whole number from 1"),
    ("format", True, "must be a whole number"),
    ("format", 0, "must be a whole number"),
    ("records", {}, "must be a list"),
    ("records", ..., "is missing"),
    ("records[3]", [], "must be an object"),
    ("records[3].shape", "abc", "must be a list"),
    ("records[3].shape[1]", -1, "must be a whole number from 0"),
    ("records[3].shape[1]", 2.5, "must be a whole number from 0"),
    ("records[3].shape", [2**40, 2**40], "a size that a file can have"),
    ("records[3].shape", [1] * 65, "at most 64 lengths"),
    ("records[0].site", 7, "must be a text"),
    ("records[0].dtype", None, "must be a text"),
    ("records[0].depth", True, "must be a whole number"),
    ("records[0].pass", 2**63, "must be a whole number"),
    ("records[0].key", "nowhere", "must be the name of an array"),
    ("records[0].key", 1, "must be a text"),
    ("records[0].key", "logits", "names an array of shape (1, 3, 32)"),
    ("records[0].key", "model.layers.0.self_attn:q", ""),
    ("records[0].shape[2]", 17, "names an array of shape"),
    ("records[0].dtype", "int32", "names an array of float32"),
    ("records[0].key", ..., "is missing"),
    ("records[0].statistics", [], "must be an object"),
    ("records[0].statistics.l2", "big", "must be a number"),
    ("records[0].statistics.l2", 2**80, "must be a number"),
    ("records[0].statistics.nan", 0.5, "must be a whole number"),
    ("tokens", None, "must be a list"),
    ("tokens[0].ids[0]", "x", "must be a whole number"),
    ("tokens[0].bytes", ["x"], "as many as there are ids: 2"),
    ("tokens[0].bytes[1]", "€", "from U+0000 to U+00FF"),
    ("tokens[0].special[0]", 2, "from 0 to 1"),
    ("vocabulary.ids", 5, "must be a list"),
    ("run", None, "must be an object"),
    ("run.config", [], "must be an object"),
    ("run.notes", [1], "must be a text"),
    ("run.versions", {"torch": 2}, "must be a text"),
    ("run.recipe", {"a": json.loads("[" * 65 + "]" * 65)}, "nested more than 64 deep"),
    ("attention", [], "must be an object"),
    ("attention", {"k": {}}, "is missing"),
    ("complete", 1, "must be true or false"),
    ("records[3].inputs", "0", "must be a list"),
    ("records[3].inputs", [0, 3], "from -2 to 2"),
    ("records[3].inputs", [-3], "from -2 to 2"),
    ("records[0].inputs", [0], "from -2 to -1"),
    ("records[0].statistics.nan", 10**6, "must be a whole number from 0 to"),
    ("records[0].statistics", _NUMBERS | {"numel": 4, "nan": 2, "posinf": 2, "neginf": 1}, "more than its 4 elements"),
    ("attention", {"a": _CALL | {"sinks": 1}}, "attention.a.sinks: must be true or false"),
    ("attention", {"a": _CALL | {"position_bias": None}}, "attention.a.position_bias: must be true or false"),
    ("attention", {"a": _CALL | {"unexplained": True}}, "attention.a.unexplained: must be a text"),
    ("bad_weights", [], "must be an object"),
    ("bad_weights", {"a": {}}, "must be a list"),
    ("bad_weights", {"a": [_WEIGHT | {"name": 1}]}, "must be a text"),
    ("bad_weights", {"a": [_WEIGHT | {"count": 5}]}, "must be a whole number from 1 to 4"),
    ("bad_weights", {"a": [_WEIGHT | {"first": [4]}]}, "must be a whole number from 0 to 3"),
    ("bad_weights", {"a": [_WEIGHT | {"first": [0] * 65}]}, "at most 64 numbers"),
]


@pytest.mark.parametrize(("path", "value", "needle"), BAD_FIELDS)
def test_a_wrong_field_is_named(path: str, value: object, needle: str, parts: Parts, target: Path) -> None:
    document = document_of(parts)
    at(path, value)(document)
    if needle:
        message = refusal(target, with_header(parts, json.dumps(document)))
        assert message.startswith("__tracetui__: " + path.partition("[")[0].partition(".")[0])
        assert needle in message
    else:
        target.write_bytes(with_header(parts, json.dumps(document)))
        assert len(read_trace(target)) == 6


def test_a_later_format_says_what_reads_it(parts: Parts, target: Path) -> None:
    message = refusal(target, with_header(parts, json.dumps({"format": 2, "needs": "3.1"})))
    assert message.startswith("__tracetui__: format: needs tracetui 3.1 or later")
    assert message.endswith("got 2")


BAD_JSON = {
    "duplicate key": ('{"format": 1, "format": 1}', "'format' stands twice"),
    "NaN literal": ('{"format": NaN}', "NaN is no JSON number"),
    "deep": ("[" * 100_000 + "]" * 100_000, "nested too deep"),
    "long number": ('{"format": %s}' % ("9" * 5000), "is not JSON"),
    "not UTF-8": ('{"format": 1, "x": "\udcff"}', "is not JSON"),
    "no object": ("[]", "must be an object"),
    "infinite": ('{"format": 1e999}', "must be a whole number"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_of_the_wrong_kind_is_refused(case: str, parts: Parts, target: Path) -> None:
    document, needle = BAD_JSON[case]
    header = document.encode("utf-8", "surrogateescape")
    content = npy(np.frombuffer(header, np.uint8))
    message = refusal(target, pack({**parts, "__tracetui__": Part("__tracetui__.npy", content)}.values()))
    assert message.startswith("__tracetui__: ")
    assert needle in message


def tree(*depths: int, **more: object) -> list[dict[str, object]]:
    return [{"depth": depth, "path": "", "kind": "A", "parameters": 0, **more} for depth in depths]


@pytest.mark.parametrize(
    ("outline", "said"),
    [
        (3, "outline: must be a list"),
        ([{"depth": 0, "path": "", "kind": "A"}], "outline[0].parameters: is missing"),
        (tree(1), "outline[0].depth: must be a whole number from 0 to 0"),
        (tree(0, 0), "outline[1].depth: must be a whole number from 1 to 1"),
        (tree(0, 2), "outline[1].depth: must be a whole number from 1 to 1"),
        (tree(*range(99)), "outline[65].depth: must be a whole number from 1 to 64"),
        (tree(0, weights=[["w"]]), "outline[0].weights[0]: must be a name and a shape"),
        (tree(0, skipped=1), "outline[0].skipped: must be true or false"),
        (tree(0, indices=[-1]), "outline[0].indices[0]: must be a whole number"),
    ],
)
def test_a_module_tree_that_is_none(parts: Parts, target: Path, outline: object, said: str) -> None:
    document = {**document_of(parts), "outline": outline}
    assert f"__tracetui__: {said}" in refusal(target, with_header(parts, json.dumps(document)))


def test_names_of_fields_are_foreign_too(parts: Parts, target: Path) -> None:
    document = document_of(parts)
    at("run.versions", {"\x1b[2J\ud800" + "x" * 999: 3})(document)
    message = refusal(target, with_header(parts, json.dumps(document)))
    assert "run.versions.␛[2J<U+D800>xxx" in message

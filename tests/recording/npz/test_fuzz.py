"""Broken and changed files of every kind: an error or the trace, never anything else, and never much memory."""

from __future__ import annotations

import copy
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recording.made import small_trace
from tests.recording.npz.raw import (
    ARRAY,
    Part,
    SparseFile,
    at,
    changed,
    deflated,
    document_of,
    good_parts,
    npy,
    pack,
    with_header,
)
from tracetui.errors import FileChangedError, InputError
from tracetui.formats.npy import npy_header, stored_as
from tracetui.formats.zip_writer import ZipWriter
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.value import NotKeptError

Parts = dict[str, Part]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return good_parts(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad") / "bad.npz"


def read_everything(target: Path) -> None:
    """Open a file and read all that it holds; only InputError may come of it."""
    try:
        trace = read_trace(target)
        for value in trace.values:
            value.statistics()
            assert value.read().shape == value.shape
    except (InputError, NotKeptError):
        return


def test_no_flipped_byte_does_more_than_an_error(parts: Parts, target: Path) -> None:
    good = pack(parts.values())
    rng = random.Random(11)
    for place in range(0, len(good), 3):
        target.write_bytes(good[:place] + bytes([good[place] ^ rng.randrange(1, 256)]) + good[place + 1 :])
        read_everything(target)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(found: object) -> Iterator[tuple[object, object]]:
    """Every (container, key or index) inside a JSON document."""
    if isinstance(found, dict | list):
        for step in found if isinstance(found, dict) else range(len(found)):
            yield found, step
            yield from places(found[step])


@settings(max_examples=200)
@given(data=st.data())
def test_no_changed_header_does_more_than_an_error(parts: Parts, target: Path, data: st.DataObject) -> None:
    document = copy.deepcopy(document_of(parts))
    for _ in range(data.draw(st.integers(1, 3))):
        holder, step = data.draw(st.sampled_from(list(places(document)) or [({}, "x")]))
        holder[step] = data.draw(json_values)  # type: ignore[index]
    target.write_bytes(with_header(parts, json.dumps(document)))
    read_everything(target)


@settings(max_examples=200)
@given(cut=st.integers(0, 100_000), insert=st.binary(max_size=8), length=st.integers(0, 8))
def test_no_spliced_file_does_more_than_an_error(
    parts: Parts, target: Path, cut: int, insert: bytes, length: int
) -> None:
    good = pack(parts.values())
    cut %= len(good)
    target.write_bytes(good[:cut] + insert + good[cut + length :])
    read_everything(target)


def test_a_file_cut_short_while_open_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_trace(small_trace(rows=4000), path)
    trace = read_trace(path)
    os.truncate(path, 1000)
    with pytest.raises(FileChangedError, match=r"t.npz: was changed while it was open; open it again"):
        trace["model.embed_tokens"]


def test_a_file_replaced_while_open_keeps_its_values(tmp_path: Path) -> None:
    path, old = tmp_path / "t.npz", small_trace(rows=4)
    write_trace(old, path)
    trace = read_trace(path)
    write_trace(small_trace(rows=9), path)
    assert np.array_equal(trace["logits"], old["logits"])


def test_truth_values_other_than_0_and_1_are_made_true(tmp_path: Path, parts: Parts) -> None:
    document = document_of(parts)
    at("records[0].dtype", "bool")(document)
    array = npy(np.zeros((1, 3, 16), np.bool_))
    mask = replace(parts[ARRAY], content=array[:-2] + b"\x02\xff")
    path = tmp_path / "t.npz"
    path.write_bytes(with_header({**parts, ARRAY: mask}, json.dumps(document)))
    assert read_trace(path)[ARRAY].view(np.uint8).sum() == 2


def test_what_is_no_file_or_another_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    np.savez(tmp_path / "plain.npz", a=np.zeros(3))
    for name, needle in {
        "nowhere": "can't be opened",
        "pipe": "is not a regular file",
        ".": "is not a regular file",
        "pointer": "git-lfs pointer",
        "plain.npz": "no trace of tracetui's",
    }.items():
        with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / name))}: .*{needle}"):
            read_trace(tmp_path / name)


_OPEN_ALL = """
import resource, sys
from pathlib import Path
from tracetui.errors import FileChangedError, InputError
from tracetui.recording.npz import read_trace
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
for name in sys.argv[1:]:
    try:
        read_trace(Path(name))
        print("opened")
    except InputError as error:
        print(error)
"""


def large_header(path: Path) -> None:
    with SparseFile(path, "w") as out:
        archive = ZipWriter(out)
        head = npy_header(stored_as("uint8"), (3 * len(SparseFile.ZEROS),))
        archive.add("__tracetui__.npy", len(head) + 3 * len(SparseFile.ZEROS), [head, *[SparseFile.ZEROS] * 3])
        archive.add("__timing__.npy", len(head), [head])
        archive.finish()


def test_large_lies_cost_little_memory(tmp_path: Path, parts: Parts) -> None:
    """Each file opened in one process that may have 1 GiB, the interpreter and numpy included."""
    many = 10**6
    cases = {
        "bomb": (pack(changed(parts, method=8, content=deflated(bytes(1 << 27)), size=1 << 27)), "version 1.0"),
        "records": (with_header(parts, f'{{"format": 1, "records": [{",".join(["{}"] * many)}]}}'), "500,000"),
        "names": (with_header(parts, f'{{"format": 1, "records": [{",".join(["1"] * many)}]}}'), "500,000"),
        "lists": (with_header(parts, f"[{','.join(['[]'] * 5 * many)}]"), "more than 2,500,000 lists"),
    }
    for name, (content, _) in cases.items():
        (tmp_path / name).write_bytes(content)
    large_header(tmp_path / "header")
    cases["header"] = (b"", "larger than 134,217,728 bytes")
    paths = [str(tmp_path / name) for name in cases]
    shown = subprocess.run([sys.executable, "-c", _OPEN_ALL, *paths], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    for path, line, (_, needle) in zip(paths, shown.stdout.splitlines(), cases.values(), strict=True):
        assert line.startswith(f"{path}: ")
        assert needle in line

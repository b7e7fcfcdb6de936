"""Deflated members: they come back exactly, cost what they say, and those that lie are named when they are read."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from tests.recording.made import assert_same, small_trace, traces
from tests.recording.npz.raw import ARRAY, Part, changed, deflated, good_parts, npy, pack
from tracetui import paths
from tracetui.errors import InputError, RunError
from tracetui.formats.zip_writer import ZipWriter
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.summary import describe
from tracetui.recording.trace import Trace


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACETUI_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed") / "t.npz"


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(trace=traces())
def test_a_compressed_trace_comes_back_as_it_was(target: Path, trace: Trace) -> None:
    write_trace(trace, target, compress=True)
    assert_same(read_trace(target), trace)
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None


def test_it_is_smaller_and_the_same_every_time_and_numpy_reads_it(tmp_path: Path) -> None:
    trace = small_trace(rows=3000)
    plain = write_trace(trace, tmp_path / "plain.npz")
    packed = write_trace(trace, tmp_path / "packed.npz", compress=True)
    assert packed == (tmp_path / "packed.npz").stat().st_size < 0.9 * plain
    write_trace(trace, tmp_path / "again.npz", compress=True)
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "packed.npz").read_bytes()
    with np.load(tmp_path / "packed.npz") as file:
        np.testing.assert_array_equal(file[ARRAY], trace[ARRAY])


def test_a_part_of_a_value_is_read_and_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = small_trace(rows=3000)
    write_trace(trace, tmp_path / "t.npz", compress=True)
    found = read_trace(tmp_path / "t.npz")
    index = (0, slice(5, 9), 3)
    np.testing.assert_array_equal(found.values[0].read(index), trace.values[0].read(index))
    monkeypatch.setattr(zlib, "decompressobj", None)
    np.testing.assert_array_equal(found.values[0].read(), trace.values[0].read())
    assert list((paths.cache_dir() / "spill").iterdir()) == [], "the file has no name"


def test_what_is_in_a_file_is_told_without_unpacking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_trace(small_trace(), tmp_path / "t.npz", compress=True)
    trace = read_trace(tmp_path / "t.npz")
    monkeypatch.setattr(zlib, "decompressobj", None)
    assert any("5 with values" in line for line in describe(trace, 1))


def test_what_numpy_compressed_opens_too(tmp_path: Path) -> None:
    trace = small_trace()
    write_trace(trace, tmp_path / "t.npz")
    with np.load(tmp_path / "t.npz") as file:
        np.savez_compressed(tmp_path / "numpy.npz", **{key: file[key] for key in file.files})
        np.savez_compressed(tmp_path / "dump.npz", a=file[ARRAY])
    assert_same(read_trace(tmp_path / "numpy.npz"), trace)
    np.testing.assert_array_equal(open_recorded(tmp_path / "dump.npz")["a"], trace[ARRAY])


def test_large_sizes_are_in_zip64_fields(tmp_path: Path) -> None:
    """As if 32 bits held no more than 500."""
    array = np.zeros(3000, np.float32)
    content = npy(array)
    with (tmp_path / "t.npz").open("wb") as file:
        archive = ZipWriter(file, zip64_from=500)
        archive.add("a.npy", len(content), [content[:99], content[99:]], compress=True)
        archive.add("b.npy", len(content), [content])
        archive.finish()
    with np.load(tmp_path / "t.npz") as found:
        np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(open_recorded(tmp_path / "t.npz")["a"], array)
    np.testing.assert_array_equal(open_recorded(tmp_path / "t.npz")["b"], array)


def lying(change: Callable[[bytes], bytes], **said: int) -> Callable[[dict[str, Part]], bytes]:
    """A file whose array is deflated and then changed; its headers tell of the one that was."""

    def made(parts: dict[str, Part]) -> bytes:
        whole = parts[ARRAY].content
        numbers = {"size": len(whole), "crc": zlib.crc32(whole), **said}
        return pack(changed(parts, method=8, content=change(deflated(whole)), **numbers))

    return made


BAD = {
    "other checksum": lying(lambda packed: packed, crc=7),
    "cut short": lying(lambda packed: packed[:-20]),
    "noise": lying(lambda packed: packed[:150] + b"\xff" * (len(packed) - 150)),
    "more behind": lying(lambda packed: packed + b"more"),
    "much more behind": lying(lambda packed: packed + bytes(3 << 20)),
}


@pytest.mark.parametrize("case", BAD)
def test_content_that_lies_is_named_when_it_is_read(case: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(BAD[case](good_parts(tmp_path)))
    trace = read_trace(path)
    with pytest.raises(InputError) as caught:
        trace[ARRAY]
    assert str(caught.value).startswith(f"{path}: {ARRAY}.npy: is damaged: ")
    assert trace["logits"].size, "the others are read"


def test_a_header_is_unpacked_to_its_size_and_no_further(tmp_path: Path) -> None:
    parts = good_parts(tmp_path)
    header = parts["__tracetui__"]
    path = tmp_path / "bad.npz"
    for size, said in ((1 << 28, "is larger than"), (len(header.content) - 1, "bytes, got")):
        packed = replace(header, method=8, content=deflated(header.content) + bytes(1 << 20), size=size)
        path.write_bytes(pack({**parts, "__tracetui__": packed}.values()))
        with pytest.raises(InputError, match=said):
            read_trace(path)


def test_a_cache_folder_that_can_t_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRACETUI_CACHE_DIR", str(tmp_path / "file"))
    write_trace(small_trace(), tmp_path / "t.npz", compress=True)
    trace = read_trace(tmp_path / "t.npz")
    with pytest.raises(RunError, match=r"t.npz: model.embed_tokens.npy: can't be unpacked: "):
        trace[ARRAY]

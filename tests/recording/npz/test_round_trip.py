"""What is written is what is read, by tracetui and by numpy."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.recording.made import assert_same, small_trace, traces
from tests.recording.npz.raw import SparseFile
from tracetui.errors import RunError
from tracetui.formats.npy import npy_header, stored_as
from tracetui.formats.zip_writer import ZipWriter
from tracetui.recording.npz import read_trace, write_trace
from tracetui.recording.npz.names import MemberNames, is_safe
from tracetui.recording.npz.writer import blocks
from tracetui.recording.record import Record
from tracetui.recording.statistics import NO_STATISTICS, Statistics
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, ArrayValue, Index, NotKeptError, StatisticsValue, Value


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "trace.npz"


def header_of(path: Path) -> dict[str, object]:
    with np.load(path, allow_pickle=False) as file:
        found = json.loads(bytes(file["__tracetui__"]))
    assert isinstance(found, dict)
    return found


def keys_of(path: Path) -> list[str | None]:
    records = header_of(path)["records"]
    assert isinstance(records, list)
    return [record["key"] for record in records]


@settings(max_examples=100)
@given(trace=traces())
def test_a_trace_comes_back_as_it_was(target: Path, trace: Trace) -> None:
    written = write_trace(trace, target)
    assert written == target.stat().st_size
    assert_same(read_trace(target), trace)


@settings(max_examples=50)
@given(trace=traces())
def test_numpy_sees_the_same_arrays_under_the_keys_of_the_header(target: Path, trace: Trace) -> None:
    write_trace(trace, target)
    keys = keys_of(target)
    with np.load(target, allow_pickle=False) as file:
        assert set(file.files) == {*keys, "__tracetui__", "__timing__"} - {None}
        for key, value in zip(keys, trace.values, strict=True):
            assert (key is None) == isinstance(value, StatisticsValue)
            if key is not None:
                stored, kept = file[key], value.read()
                assert (stored.dtype, stored.shape, stored.tobytes()) == (kept.dtype, kept.shape, kept.tobytes())


@settings(max_examples=50)
@given(trace=traces())
def test_members_are_aligned_sound_and_safe_to_unpack_anywhere(target: Path, trace: Trace) -> None:
    write_trace(trace, target)
    content = target.read_bytes()
    with zipfile.ZipFile(target) as file:
        assert file.testzip() is None
        names = file.namelist()
        for member in file.infolist():
            start = member.header_offset
            data = start + 30 + int.from_bytes(content[start + 26 : start + 28], "little")
            data += int.from_bytes(content[start + 28 : start + 30], "little")
            length = int.from_bytes(content[data + 8 : data + 10], "little")
            assert (data % 64, (10 + length) % 64) == (0, 0)
            assert member.compress_type == zipfile.ZIP_STORED
    assert len({name.lower() for name in names}) == len(names)
    assert all(is_safe(name) and len(name) <= 204 for name in names)


def test_an_ordinary_key_is_its_own_name(target: Path) -> None:
    write_trace(small_trace(), target)
    with np.load(target) as file:
        assert file.files == [
            *("model.embed_tokens", "model.layers.0.self_attn:q", "model.layers.1.mlp:experts"),
            *("logits", "__tracetui__", "__timing__"),
        ]


def test_a_shared_tensor_lies_under_the_first_key_unless_it_is_the_logits(target: Path) -> None:
    shared, logits = ArrayValue(np.ones(3)), ArrayValue(np.zeros(3))
    sites = ["a", "lm_head", "b", "logits"]
    values = (shared, logits, shared, logits)
    records = [Record(index, site, (3,), "float64", 0) for index, site in enumerate(sites)]
    write_trace(Trace(RunInfo(), (), records, values, {}), target)
    assert keys_of(target) == ["a", "logits", "a", "logits"]


@settings(max_examples=25)
@given(trace=traces(), seconds=st.floats(0, 100))
def test_the_same_run_gives_the_same_bytes_but_for_its_times(target: Path, trace: Trace, seconds: float) -> None:
    write_trace(trace, target)
    first = target.read_bytes()
    write_trace(trace, target)
    assert target.read_bytes() == first
    write_trace(replace(trace, records=[replace(record, seconds=seconds) for record in trace.records]), target)
    with zipfile.ZipFile(target) as file:
        times_at = file.getinfo("__timing__.npy").header_offset
    assert target.read_bytes()[:times_at] == first[:times_at]


@given(key=st.text(st.characters()), index=st.integers(0, 10**6))
def test_names_are_safe_and_differ_for_the_same_key(key: str, index: int) -> None:
    names = MemberNames()
    first, second = names.name(key, index), names.name(key, index + 1)
    assert is_safe(f"{first}.npy")
    assert is_safe(f"{second}.npy")
    assert first.lower() != second.lower()


@given(shape=st.lists(st.integers(0, 7), max_size=4).map(tuple), limit=st.integers(1, 200))
def test_blocks_cover_an_array_once_in_order(shape: tuple[int, ...], limit: int) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=np.int16).reshape(shape)
    parts = [array[index].tobytes() for index in blocks(shape, 2, limit)]
    assert b"".join(parts) == array.tobytes()
    assert all(0 < len(part) <= max(limit, 2) for part in parts)


class Counted(ArrayValue):
    """Remembers the largest part that was read of it, and how often its statistics were asked for."""

    largest = asked = 0

    def read(self, index: Index = ()) -> Array:
        part = super().read(index)
        self.largest = max(self.largest, part.nbytes)
        return part

    def statistics(self) -> Statistics:
        self.asked += 1
        return NO_STATISTICS


def test_large_values_pass_in_blocks_and_statistics_are_asked_once(target: Path) -> None:
    value = Counted(np.arange(3_000_000, dtype=np.float64).reshape(1, 3, 1000, 1000))
    records = [Record(index, "x", value.shape, "float64", 0, call=index) for index in range(2)]
    write_trace(Trace(RunInfo(), (), records, (value, value), {}), target)
    assert value.largest <= 4 << 20
    assert value.asked == 1
    assert np.array_equal(read_trace(target)["x"], value.read())


def test_progress_counts_the_bytes_of_values_to_their_total(target: Path) -> None:
    trace, heard = small_trace(), list[tuple[int, int]]()
    write_trace(trace, target, lambda done, total: heard.append((done, total)))
    kept = {id(value): value.read().nbytes for value in trace.values if not isinstance(value, StatisticsValue)}
    assert {total for _, total in heard} == {sum(kept.values())}
    assert heard == sorted(heard)
    assert heard[-1] == (sum(kept.values()),) * 2


def test_a_trace_that_still_grows_is_written_as_it_stood(target: Path) -> None:
    done = small_trace()
    growing = replace(done, records=list(done.records), values=list(done.values[:-1]))
    write_trace(growing, target)
    assert len(read_trace(target)) == len(done) - 1


def test_an_incomplete_run_says_so(target: Path) -> None:
    write_trace(replace(small_trace(), complete=False), target)
    assert not read_trace(target).complete


def test_values_that_were_not_kept_say_so(target: Path) -> None:
    write_trace(small_trace(), target)
    with pytest.raises(NotKeptError, match="not kept"):
        read_trace(target)["model.layers.1"]


@pytest.mark.parametrize(
    ("value", "dtype", "needle"),
    [
        (ArrayValue(np.zeros(3)), "float32", "values are float64"),
        (ArrayValue(np.zeros(4, np.float32)), "float32", r"shape is \(3,\)"),
        (ArrayValue(np.array([None, 1, 2])), "object", "values are object"),
    ],
)
def test_a_record_that_contradicts_its_values_is_refused(tmp_path: Path, value: Value, dtype: str, needle: str) -> None:
    trace = Trace(RunInfo(), (), [Record(0, "wrong\x1b", (3,), dtype, 0)], [value], {})
    with pytest.raises(RunError, match=f"t.npz: can't be written: wrong␛: .*{needle}"):
        write_trace(trace, tmp_path / "t.npz")
    assert not list(tmp_path.iterdir())


def test_big_endian_and_strided_arrays_are_stored_little_endian_in_c_order(target: Path) -> None:
    array = np.arange(24, dtype=">i4").reshape(4, 6)[:, ::2].T
    record = Record(0, "x", array.shape, "int32", 0)
    write_trace(Trace(RunInfo(), (), [record], [ArrayValue(array)], {}), target)
    with np.load(target) as file:
        assert file["x"].dtype == np.dtype("<i4")
        assert np.array_equal(file["x"], array)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.float16, np.int64, np.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 5), (1, 17, 4096)])
def test_the_npy_header_is_numpys_own(dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    header = npy_header(stored_as(np.dtype(dtype).name), shape)
    stream = io.BytesIO(header)
    assert np.lib.format.read_magic(stream) == (1, 0)
    assert np.lib.format.read_array_header_1_0(stream) == (shape, False, np.dtype(dtype))


def test_what_numpy_saves_again_opens_too(tmp_path: Path) -> None:
    trace = small_trace()
    write_trace(trace, tmp_path / "one.npz")
    with np.load(tmp_path / "one.npz") as file:
        np.savez(tmp_path / "two.npz", **{name: file[name] for name in file.files})
    assert_same(read_trace(tmp_path / "two.npz"), trace)


def test_zip64_fields_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_trace(small_trace(), path)
    with np.load(path) as file:
        members = {name: file[name] for name in file.files}
    with path.open("wb") as out:
        archive = ZipWriter(out, zip64_from=2000)
        for name, array in members.items():
            head = npy_header(array.dtype, array.shape)
            archive.add(f"{name}.npy", len(head) + array.nbytes, (head, array.tobytes()))
        archive.finish()
    with zipfile.ZipFile(path) as check:
        assert check.testzip() is None
    with np.load(path) as file:
        assert all(np.array_equal(file[name], members[name]) for name in members)
    assert_same(read_trace(path), small_trace())


def test_values_beyond_4_gib_are_found(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    hole = 65 * len(SparseFile.ZEROS)
    short = [ArrayValue(np.zeros(7, np.uint8)), ArrayValue(np.arange(5, dtype=np.int16))]
    records = [Record(index, f"x{index}", value.shape, value.dtype, 0) for index, value in enumerate(short)]
    write_trace(Trace(RunInfo(), (), records, short, {}), path)
    with np.load(path) as file:
        members = {name: file[name] for name in ("x1", "__timing__")}
        document = bytes(file["__tracetui__"]).replace(b'"shape":[7]', b'"shape":[%d]' % hole)
    with SparseFile(path, "w") as out:
        archive = ZipWriter(out)
        head = npy_header(stored_as("uint8"), (hole,))
        archive.add("x0.npy", len(head) + hole, [head, *[SparseFile.ZEROS] * 65])
        for name, array in {**members, "__tracetui__": np.frombuffer(document, np.uint8)}.items():
            head = npy_header(array.dtype, array.shape)
            archive.add(f"{name}.npy", len(head) + array.nbytes, (head, array.tobytes()))
        archive.finish()
    trace = read_trace(path)
    assert path.stat().st_blocks * 512 < 1 << 20
    assert np.array_equal(trace["x1"], np.arange(5))
    assert np.array_equal(trace.values[0].read((slice(hole - 2, None),)), [0, 0])

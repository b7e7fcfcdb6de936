"""Plain files of named tensors open as traces, and hostile ones are refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tests.recording.made import assert_same
from tracetui.errors import InputError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import write_trace
from tracetui.recording.ranks.files import is_rank_folder
from tracetui.recording.ranks.folder import open_run
from tracetui.recording.record import Record
from tracetui.recording.statistics import merged, of_array
from tracetui.recording.summary import describe
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import ArrayValue, Value

_NARROW = (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu)


def test_a_plain_npz_keeps_its_order_names_and_values(tmp_path: Path) -> None:
    arrays = {
        "blk/1/attn": np.arange(6, dtype=np.float16).reshape(2, 3),
        "größe": np.array([True, False]),
        "a": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 3)),
    }
    np.savez(tmp_path / "dump.npz", **arrays)  # type: ignore[arg-type]
    trace = open_recorded(tmp_path / "dump.npz")
    assert trace.dump
    assert [record.site for record in trace.records] == list(arrays)
    for name, array in arrays.items():
        found = trace.find(name)
        assert found is not None
        assert (found.shape, found.dtype) == (array.shape, array.dtype.name)
        np.testing.assert_array_equal(trace[name], array)
        assert repr(trace.statistics(found)) == repr(of_array(array))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_any_order_of_axes_and_bytes_is_read(tmp_path: Path, save: Callable[..., None]) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    arrays = {
        "transposed": array.T,
        "fortran": np.asfortranarray(array),
        "big": array.astype(">f4"),
        "both": np.asfortranarray(array.astype(">f8")),
        "truth": np.asfortranarray(array > 0),
        "none": np.zeros((0, 3)).T,
    }
    save(tmp_path / "dump.npz", **arrays)
    trace = open_recorded(tmp_path / "dump.npz")
    assert not trace.run.notes
    for name, array in arrays.items():
        record = trace.find(name)
        assert record is not None
        found = trace[name]
        assert found.dtype.isnative
        assert (found.dtype.name, record.dtype) == (array.dtype.name, array.dtype.name)
        np.testing.assert_array_equal(found, array)
        # Sums in another order differ in their last bits.
        assert astuple(trace.statistics(record)) == pytest.approx(astuple(of_array(array)), rel=1e-12, nan_ok=True)
    np.testing.assert_array_equal(trace.values[0].read((1, slice(2, 4), 2)), arrays["transposed"][1, 2:4, 2])
    write_trace(replace(trace, dump=False), tmp_path / "own.npz")
    with np.load(tmp_path / "own.npz", allow_pickle=False) as own:
        assert all(np.array_equal(own[name], array) for name, array in arrays.items())


def test_a_folder_is_refused_with_what_records_it(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"is a folder and no recording; of a model.s folder `tracetui trace .* records"
    ):
        open_recorded(tmp_path)


def test_what_holds_no_numbers_is_left_out_and_said(tmp_path: Path) -> None:
    others = {
        "words": np.array(["a", "b"]),
        "raw": np.array([b"a"]),
        "\x1b[2J": np.array([{}], dtype=object),
        "when": np.array(["2026-01-01"], dtype="M8[D]"),
        "pairs": np.zeros(2, dtype=[("a", "<f4")]),
    }
    np.savez(tmp_path / "d.npz", **others, x=np.ones(3))  # type: ignore[arg-type]
    trace = open_recorded(tmp_path / "d.npz")
    assert [record.site for record in trace.records] == ["x"]
    (note,) = trace.run.notes
    assert note == "left out, because they hold no numbers that are read: words, raw, ␛[2J, when, pairs"
    assert note in " ".join(" ".join(describe(trace, 1)).split())


class Pipe:
    """A file that knows no way back, as a pipe is."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, part: bytes) -> int:
        return self._file.write(part)

    def flush(self) -> None:
        self._file.flush()

    def read(self) -> bytes:
        raise OSError("is written only")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_that_was_written_to_a_pipe_is_read(save: Callable[..., None], tmp_path: Path) -> None:
    arrays = {"a": np.arange(300, dtype=np.float32), "b": np.zeros((0, 2)), "c": np.arange(4)}
    pipe = Pipe(tmp_path / "d.npz")
    save(pipe, **arrays)
    pipe.flush()
    with zipfile.ZipFile(tmp_path / "d.npz") as archive:
        assert all(member.flag_bits & 8 for member in archive.infolist())
    trace = open_recorded(tmp_path / "d.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(trace[name], array)


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_later_versions_of_npy_are_read(version: tuple[int, int], method: int, tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    with zipfile.ZipFile(tmp_path / "d.npz", "w", method) as archive, archive.open("a.npy", "w") as member:
        np.lib.format.write_array(member, array, version=version)
    np.testing.assert_array_equal(open_recorded(tmp_path / "d.npz")["a"], array)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_refused_with_what_to_do(method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.npz", "w", method) as archive, archive.open("a.npy", "w") as member:
        np.lib.format.write_array(member, np.arange(6.0))
    with pytest.raises(InputError, match=rf"got {method}; numpy.savez or numpy.savez_compressed to a file writes what"):
        open_recorded(tmp_path / "d.npz")


def test_a_streamed_member_s_own_header_may_say_nothing_but_not_something_else(tmp_path: Path) -> None:
    pipe = Pipe(tmp_path / "d.npz")
    np.savez(pipe, a=np.arange(300, dtype=np.float32))
    pipe.flush()
    content = bytearray((tmp_path / "d.npz").read_bytes())
    content[14] = 7
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(InputError, match="its own header differs"):
        open_recorded(tmp_path / "d.npz")


def test_safetensors_of_every_dtype_come_back_exactly(tmp_path: Path) -> None:
    tensors = {str(dtype): torch.arange(256, dtype=torch.uint8).view(dtype) for dtype in _NARROW}
    tensors |= {
        str(dtype): torch.tensor([[0, 1], [3, 2]]).to(dtype)
        for dtype in (torch.bool, torch.int8, torch.int64, torch.float16, torch.float32, torch.float64, torch.uint16)
    }
    save_file(tensors, tmp_path / "dump.safetensors")
    trace = open_recorded(tmp_path / "dump.safetensors")
    assert len(trace) == len(tensors)
    for name, tensor in tensors.items():
        wide = tensor.float() if tensor.dtype in _NARROW else tensor
        np.testing.assert_array_equal(trace[name], wide.numpy())
        record = trace.find(name)
        assert record is not None
        assert f"torch.{record.dtype}" == name


def test_a_part_of_a_narrow_tensor_is_read_alone(tmp_path: Path) -> None:
    tensor = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    save_file({"x": tensor}, tmp_path / "x.safetensors")
    trace = open_recorded(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(trace.values[0].read((slice(1, 3),)), tensor[1:3].float().numpy())


def test_a_trace_is_still_a_trace(tmp_path: Path) -> None:
    array = np.ones((2, 2), dtype=np.float32)
    trace = Trace(RunInfo("m"), (), (Record(0, "x", (2, 2), "float32", 0),), (ArrayValue(array),), {})
    write_trace(trace, tmp_path / "t.npz")
    found = open_recorded(tmp_path / "t.npz")
    assert not found.dump
    assert_same(found, Trace(trace.run, (), trace.records, found.values, {}))


def _header(**changes: object) -> dict[str, object]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("header", "size", "complaint"),
    [
        (_header(), 7, "by its header it has"),
        (_header(), 9, "by its header it has"),
        (_header(dtype="F99"), 8, "none that tracetui knows"),
        (_header(shape=[3]), 8, "has 12 bytes"),
        (_header(shape=[2**40, 2**40]), 8, "larger than any file"),
        (_header(shape=[-1]), 8, "must be a list of sizes"),
        (_header(data_offsets=[0]), 8, "begin and end"),
        (_header(data_offsets=[4, 12]), 12, "where the header ends"),
        ({**_header(), "y": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, 12, "the tensor before it"),
        ({"x": 3}, 0, "must be a table with dtype, shape and data_offsets"),
        ({}, 0, "names no tensors"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: object, size: int, complaint: str) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    with pytest.raises(InputError, match=complaint):
        open_recorded(path)


@pytest.mark.parametrize("length", [2**63, 10**7, 3])
def test_a_header_s_length_that_lies_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"x": 1}')
    with pytest.raises(InputError):
        open_recorded(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "texts.npy", np.array(["a"]))
    with pytest.raises(InputError, match=r"texts\.npy: its dtype has no place in a trace file, got '<U1'"):
        open_recorded(tmp_path / "texts.npy")
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="dtype"):
        open_recorded(tmp_path / "objects.npz")


@given(st.lists(st.lists(st.floats(width=32), max_size=5), max_size=5))
def test_statistics_of_parts_are_those_of_the_whole(parts: list[list[float]]) -> None:
    arrays = [np.array(part, dtype=np.float32) for part in parts]
    whole = of_array(np.concatenate([*arrays, np.zeros(0, dtype=np.float32)]))
    found = merged(of_array(array) for array in arrays)
    for name in ("numel", "nan", "posinf", "neginf", "zeros", "min", "max"):
        assert getattr(found, name) == pytest.approx(getattr(whole, name), rel=0, abs=0, nan_ok=True), name
    for name in ("l2", "mean", "std"):
        near = pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-9 * max(0.0, whole.l2), nan_ok=True)
        assert getattr(found, name) == near, name


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dumps")
    np.savez(folder / "npz", a=np.arange(4, dtype=np.float32), b=np.zeros((2, 2), dtype=np.int64))
    save_file({"a": torch.ones(3), "b": torch.ones(2, 2).bfloat16()}, folder / "safetensors")
    (folder / "npz.npz").rename(folder / "npz")
    return folder


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(files: Path, kind: str, data: st.DataObject) -> None:
    content = bytearray((files / kind).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = files / f"damaged.{kind}"
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    for value in _opened(damaged):
        value.statistics()
        assert value.read().shape == value.shape


def _opened(path: Path) -> Sequence[Value]:
    """The values of a file; none of one that is refused, in words that name it."""
    try:
        return open_recorded(path).values
    except InputError as error:
        refusal = str(error)
    assert str(path) in refusal
    return ()


@pytest.mark.parametrize("beside", ["config.json", "model.safetensors.index.json"])
def test_a_models_numbered_files_are_not_taken_for_those_of_ranks(tmp_path: Path, beside: str) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"")
    assert is_rank_folder(tmp_path)
    (tmp_path / beside).write_text("{}")
    with pytest.raises(InputError, match=r"is a folder and no recording; of a model.s folder `tracetui trace"):
        open_run(tmp_path)


def test_a_dump_s_values_take_what_its_file_has_of_them(tmp_path: Path) -> None:
    """bfloat16 is read as float32, but lies there in half of that: values of 9 in a file of 5 would make no sense."""
    save_file({"model.norm": torch.ones(256, 4, dtype=torch.bfloat16)}, tmp_path / "a.safetensors")
    lines = describe(open_recorded(tmp_path / "a.safetensors"), 3072)
    assert "size       3.00 KiB, of which values 2.00 KiB" in lines
    assert any(line.startswith("largest    2.00 KiB    model.norm") for line in lines)

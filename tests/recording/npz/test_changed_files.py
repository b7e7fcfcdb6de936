"""Recordings and dumps that are written while they are open: told, and never numbers of one file read as another's."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.recording.made import small_trace
from tracetui import file_state
from tracetui.errors import FileChangedError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.npz import read_trace, write_trace

Write = Callable[[Path, float], None]
SHAPE = (3, 4)


def _npz(path: Path, number: float) -> None:
    np.savez(path, a=np.full(SHAPE, number, np.float32))


def _compressed(path: Path, number: float) -> None:
    np.savez_compressed(path, a=np.full(SHAPE, number, np.float32))


def _npy(path: Path, number: float) -> None:
    np.save(path, np.full(SHAPE, number, np.float32))


def _fortran(path: Path, number: float) -> None:
    np.save(path, np.asfortranarray(np.full(SHAPE, number, np.float32)))


def _safetensors(path: Path, number: float) -> None:
    path.write_bytes(save({"a": np.full(SHAPE, number, np.float32)}))


FORMS = {
    "dump.npz": _npz,
    "compressed.npz": _compressed,
    "one.npy": _npy,
    "fortran.npy": _fortran,
    "dump.safetensors": _safetensors,
}


@pytest.fixture(params=FORMS)
def dump(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Write]:
    path, write = tmp_path / request.param, FORMS[request.param]
    write(path, 1.0)
    return path, write


def test_a_dump_of_the_same_size_written_in_place_is_told(dump: tuple[Path, Write]) -> None:
    path, write = dump
    trace = open_recorded(path)
    write(path, 2.0)
    for read in (
        lambda: trace.values[0].read(),
        lambda: trace.values[0].statistics(),
        lambda: trace.values[0].read((0,)),
    ):
        with pytest.raises(FileChangedError, match=f"{path.name}: was changed while it was open; open it again"):
            read()
    assert (open_recorded(path).values[0].read() == 2.0).all()


def test_a_dump_that_nobody_writes_is_read_again_and_again(dump: tuple[Path, Write]) -> None:
    path, _ = dump
    trace = open_recorded(path)
    shutil.copy(path, path.with_suffix(".copy"))
    path.chmod(0o600)
    for _ in range(2):
        assert (trace.values[0].read((slice(1, None),)) == 1.0).all()


@pytest.mark.parametrize("compress", [False, True])
def test_a_recording_copied_over_in_place_is_told(tmp_path: Path, compress: bool) -> None:
    path, other = tmp_path / "t.npz", tmp_path / "other.npz"
    write_trace(small_trace(rows=4), path, compress=compress)
    write_trace(small_trace(rows=9), other, compress=compress)
    trace = read_trace(path)
    shutil.copyfile(other, path)
    with pytest.raises(FileChangedError):
        trace["logits"]


def test_what_is_written_while_a_value_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dump.npz"
    _npz(path, 1.0)
    trace, preadv = open_recorded(path), os.preadv

    def interrupted(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        _npz(path, 2.0)
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", interrupted)
    with pytest.raises(FileChangedError):
        trace.values[0].read()


def test_a_file_just_written_is_waited_for_until_the_next_write_has_another_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dump.npz"
    _npz(path, 1.0)
    modified = path.stat().st_mtime_ns
    clock = iter([modified - 4_000_000, modified, modified + 1])
    slept: list[float] = []
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: next(clock))
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(file_state, "_COARSE_CLOCK", 5)
    assert file_state.settled_state(path) == file_state.state_of(path)
    assert len(slept) == 2


def test_a_file_from_the_future_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "dump.npz"
    _npz(path, 1.0)
    os.utime(path, (2**33, 2**33))
    assert (open_recorded(path).values[0].read() == 1.0).all()

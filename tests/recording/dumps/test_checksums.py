"""`info --check`: a bit that turned over in a value is found, and a sound file is told as such."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.recording.made import small_trace
from tracetui.errors import InputError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.dumps.checksums import check_values
from tracetui.recording.npz import write_trace


@pytest.fixture(params=["plain", "compressed", "numpy"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    target = tmp_path / "t.npz"
    if request.param == "numpy":
        np.savez(target, a=np.arange(4000.0), b=np.ones(3))
    else:
        write_trace(small_trace(rows=300), target, compress=request.param == "compressed")
    return target


def test_a_sound_file_is_told_as_such(path: Path) -> None:
    with np.load(path) as file:
        assert check_values(path) == f"checksums  of all {len(file.files):,} arrays right"


def test_one_bit_of_a_value_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)
    open_recorded(path)
    with pytest.raises(InputError, match=r"t\.npz: .*\.npy: is damaged: its checksum differs"):
        check_values(path)


def test_a_file_without_checksums_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))
    assert check_values(tmp_path / "a.npy") == "checksums  this kind of file has none"

"""Weights are read, never mapped: what was read stays what it was, and a file that was written since is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tracetui.errors import FileChangedError
from tracetui.models.checkpoints import weight_file
from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile

BASE = torch.arange(240, dtype=torch.float32)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> WeightFile:
    path = tmp_path_factory.mktemp("weights") / "data"
    path.write_bytes(b"12345678" + BASE.numpy().tobytes())
    return WeightFile(path)


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rows": lambda base: base.view(12, 20),
    "one axis": lambda base: base,
    "transposed": lambda base: base.view(12, 20).T,
    "columns": lambda base: base.view(12, 20)[:, 3:11],
    "every other row": lambda base: base.view(12, 20)[::2],
    "a window": lambda base: base[7:127].view(6, 4, 5),
    "one row again and again": lambda base: base[:20].expand(7, 20),
    "a number": lambda base: base[5],
    "a row of one": lambda base: base.view(12, 20)[:, :1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@given(picks=st.lists(st.integers(0, 1000), max_size=12), piece=st.sampled_from([1, 200, 2**25]))
def test_whatever_way_a_tensor_lies_its_rows_are_read(
    file: WeightFile, layout: str, picks: list[int], piece: int
) -> None:
    tensor = LAYOUTS[layout](BASE)
    start = 8 + 4 * int(tensor.storage_offset())
    stored = StoredTensor(file, torch.float32, tuple(tensor.shape), start, tensor.stride())
    before, weight_file._PIECE_BYTES = weight_file._PIECE_BYTES, piece
    try:
        assert torch.equal(stored.whole(), tensor)
        assert torch.equal(torch.cat([part.reshape(-1) for part in stored.pieces()]), tensor.reshape(-1))
        if tensor.dim():
            rows = [pick % len(tensor) for pick in picks]
            assert torch.equal(stored.take(rows), tensor[rows])
            assert torch.equal(stored.converted(rows, torch.bfloat16, lambda made: None), tensor[rows].bfloat16())
    finally:
        weight_file._PIECE_BYTES = before


def test_what_was_read_stays_when_the_file_is_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(300, 300)}, path)
    files = SafetensorsFiles(tmp_path)
    weight = files.tensor("a").whole()
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content[:-4000] + b"\1" * 4000)
    assert (weight == 1.0).all()
    with pytest.raises(FileChangedError, match=r"model.safetensors: was changed while it was open"):
        files.tensor("a").whole()


def test_a_file_cut_short_while_it_is_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(64, 64)}, path)
    files, preadv = SafetensorsFiles(tmp_path), os.preadv

    def cut(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        os.truncate(path, 1000)
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", cut)
    with pytest.raises(FileChangedError):
        files.tensor("a").whole()


def test_a_file_put_in_the_place_of_another_is_told(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(4)}, path)
    files = SafetensorsFiles(tmp_path)
    save_file({"a": torch.zeros(4)}, tmp_path / "new")
    (tmp_path / "new").replace(path)
    with pytest.raises(FileChangedError):
        files.tensor("a").whole()

"""The store alone: every dtype comes back bit for bit from the disk, and what others left there is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tracetui.recording.keep import Room
from tracetui.recording.spill import SpilledValue
from tracetui.recording.spill_file import SpillFile
from tracetui.tracer.capture.store import ValueStore
from tracetui.tracer.capture.values import TorchValue

_BYTES = torch.arange(256, dtype=torch.uint8)
_WIDE = torch.randint(0, 256, (64, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
DTYPES = (
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
)


def tensor_of(dtype: torch.dtype) -> torch.Tensor:
    """Every bit pattern there is of one byte; of wider dtypes many."""
    if dtype == torch.bool:
        return _BYTES % 3 == 0
    if dtype.itemsize == 1:
        return _BYTES.view(dtype).view(16, 16)
    return _WIDE.view(dtype)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_comes_back_from_the_disk(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = tensor_of(dtype)
    store = ValueStore(Room(memory=0, folder=tmp_path), 0)
    for given in (tensor, tensor.t() if tensor.dim() == 2 else tensor, tensor[..., :1], tensor.reshape(-1)[0]):
        found, kept = store.put(given), TorchValue(given)
        assert isinstance(found, SpilledValue)
        assert (found.shape, found.dtype) == (kept.shape, kept.dtype)
        here, there = found.read(), kept.read()
        assert here.dtype == there.dtype
        np.testing.assert_array_equal(here, there)
        told = ~np.isnan(there)
        assert here[told].tobytes() == there[told].tobytes(), "bit for bit, but for the payload of a NaN"
        assert repr(found.statistics()) == repr(kept.statistics())


def test_nobody_asks_how_much_memory_there_is_before_it_matters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracetui.tracer.capture.store.UNASKED", 2000)
    asked: list[int] = []

    def half_of_what_is_free() -> int:
        asked.append(1)
        # Of 8,000 bytes, of which 2,000 are taken.
        return 3000

    store = ValueStore(Room(folder=tmp_path), half_of_what_is_free)
    values = [store.put(torch.ones(250)) for _ in range(2)]
    assert not asked
    values += [store.put(torch.ones(250)) for _ in range(4)]
    assert [isinstance(value, SpilledValue) for value in values] == [False] * 4 + [True] * 2
    assert len(asked) == 1


def test_memory_is_used_up_before_the_disk(tmp_path: Path) -> None:
    store = ValueStore(Room(folder=tmp_path), 4000)
    found = [store.put(torch.ones(250)) for _ in range(6)]
    assert [isinstance(value, SpilledValue) for value in found] == [False] * 4 + [True] * 2


def test_an_empty_tensor_is_no_trouble(tmp_path: Path) -> None:
    found = ValueStore(Room(memory=0, folder=tmp_path), 0).put(torch.empty(0, 3))
    assert found.read().shape == (0, 3)


def test_files_that_were_left_are_swept_and_young_ones_are_not(tmp_path: Path) -> None:
    old, young, other = (tmp_path / name for name in ("tracetui-a.spill", "tracetui-b.spill", "mine.spill"))
    for path in (old, young, other):
        path.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    os.utime(other, (time.time() - 7200,) * 2)
    SpillFile(tmp_path, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.spill", "tracetui-b.spill"]


_FILLS = """
import sys
from pathlib import Path
import numpy as np
from tracetui.recording.spill_file import SpillFile
file = SpillFile(Path(sys.argv[1]), None)
block = np.ones(1 << 16, np.uint8)
print("on", flush=True)
while True:
    file.add(len(block), [block.data])
"""


def test_a_killed_process_leaves_no_file(tmp_path: Path) -> None:
    for wait in (0.0, 0.02):
        child = subprocess.Popen([sys.executable, "-c", _FILLS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SpillFile(tmp_path, 1 << 20)
    first = np.arange(99, dtype=np.uint8)
    at = file.add(99, [first.data])
    assert at is not None
    write, left = os.pwrite, [2]

    def failing(descriptor: int, content: memoryview, offset: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[:10], offset)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(OSError, match="No space left"):
        file.add(99, [first.data])
    monkeypatch.undo()
    second = file.add(99, [first[::-1].copy().data])
    assert second is not None
    np.testing.assert_array_equal(file.array(at, first.dtype, (99,)), first)
    np.testing.assert_array_equal(file.array(second, first.dtype, (99,)), first[::-1])
    assert file.add(1 << 20, []) is None, "no more than its limit"

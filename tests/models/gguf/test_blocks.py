"""Every type of block is turned back as llama.cpp's own package does it, bit for bit, whichever rows are asked for."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch

from tracetui.formats.gguf import BlockType, GgufTensor
from tracetui.formats.gguf.types import BLOCK_TYPES
from tracetui.models.checkpoints.gguf.blocks import PLAIN, unpacker
from tracetui.models.checkpoints.gguf.stored import BlockTensor
from tracetui.models.checkpoints.weight_file import WeightFile

QUANTISED = [kind for kind in BLOCK_TYPES.values() if kind.name not in PLAIN and kind.name != "Q1_0"]
ROWS, WIDTH = 6, 512


def random_blocks(kind: BlockType, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Rows of blocks of random bytes: scales that are no numbers among them."""
    size = WIDTH // kind.elements * kind.byte_count
    return np.random.default_rng(seed).integers(0, 256, (ROWS, size), np.uint8)


def stored(path: Path, kind: BlockType, packed: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> BlockTensor:
    path.write_bytes(b"before" + packed.tobytes())
    return BlockTensor("w", WeightFile(path), GgufTensor(kind, shape, 6, 6 + packed.size))


def test_the_sizes_are_those_of_gguf() -> None:
    for number, kind in BLOCK_TYPES.items():
        quantisation = gguf.GGMLQuantizationType(number)
        assert quantisation.name == kind.name
        assert gguf.GGML_QUANT_SIZES[quantisation] == (kind.elements, kind.byte_count)


def test_no_library_turns_the_newest_type_back() -> None:
    assert unpacker(BLOCK_TYPES[41]) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_blocks_are_turned_back_as_gguf_does_it(tmp_path: Path, kind: BlockType) -> None:
    packed = random_blocks(kind)
    expected = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType[kind.name])  # [6,512]
    tensor = stored(tmp_path / "f", kind, packed, (ROWS, WIDTH))
    ticks: list[int] = []
    whole = tensor.read(None, torch.float32, ticks.append).numpy()
    assert np.array_equal(whole, expected, equal_nan=True)
    assert sum(ticks) == expected.nbytes
    some = tensor.read([4, 0, 4], torch.float32, ticks.append).numpy()
    assert np.array_equal(some, expected[[4, 0, 4]], equal_nan=True)
    narrow = tensor.read(None, torch.bfloat16, ticks.append)
    assert torch.equal(narrow.nan_to_num(0), torch.from_numpy(expected).to(torch.bfloat16).nan_to_num(0))


def test_experts_are_read_one_by_one_and_vectors_too(tmp_path: Path) -> None:
    kind = BLOCK_TYPES[8]
    packed = random_blocks(kind)
    expected = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)
    experts = stored(tmp_path / "experts", kind, packed, (3, 2, WIDTH))
    one = experts.read([1], torch.float32, lambda made: None).numpy()
    assert np.array_equal(one, expected.reshape(3, 2, WIDTH)[[1]], equal_nan=True)
    vector = stored(tmp_path / "vector", kind, packed[:1], (WIDTH,))
    assert np.array_equal(vector.read([7, 3], torch.float32, lambda made: None).numpy(), expected[0, [7, 3]])


@pytest.mark.parametrize(("name", "number"), [("F32", 0), ("F16", 1), ("BF16", 30), ("F64", 28)])
def test_what_is_stored_one_by_one_is_read_as_it_is(tmp_path: Path, name: str, number: int) -> None:
    values = torch.arange(12).view(3, 4).to(PLAIN[name])
    packed = values.view(torch.uint8).numpy()
    tensor = stored(tmp_path / "f", BLOCK_TYPES[number], packed, (3, 4))
    assert torch.equal(tensor.read([2, 1], torch.float32, lambda made: None), values[[2, 1]].float())

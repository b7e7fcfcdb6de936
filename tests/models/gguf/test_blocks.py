"""Every type of block is turned back as llama.cpp's own package does it, bit for bit, whichever rows are asked for."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import pytest
import torch

from tracetui.errors import InputError
from tracetui.formats.gguf import BlockType, GgufTensor
from tracetui.formats.gguf.types import BLOCK_TYPES
from tracetui.models.checkpoints.gguf.blocks import PLAIN, unpacker
from tracetui.models.checkpoints.gguf.scales import first_not_finite
from tracetui.models.checkpoints.gguf.stored import BlockTensor
from tracetui.models.checkpoints.weight_file import WeightFile

QUANTISED = [kind for kind in BLOCK_TYPES.values() if kind.name not in PLAIN and kind.name != "Q1_0"]
ROWS, WIDTH = 6, 512


def random_blocks(kind: BlockType, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Rows of blocks of random bytes, but for scales that are no numbers."""
    size = WIDTH // kind.elements * kind.byte_count
    packed = np.random.default_rng(seed).integers(0, 256, (ROWS, size), np.uint8)
    blocks = packed.reshape(-1, kind.byte_count)
    while (block := first_not_finite(torch.from_numpy(blocks), kind.name)) is not None:
        blocks[block] = blocks[block] & 0x3B
    return packed


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


SCALES = {
    "Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "TQ1_0": (52,), "TQ2_0": (64,),
}  # fmt: skip
"""Where float16 scales stand in a block that don't stand at its start alone."""


def with_scale(kind: BlockType, block: npt.NDArray[np.uint8], place: int, half: int) -> None:
    """Put a float16's bits where a block has a scale; the NaN of the types that have others."""
    if kind.name == "MXFP4":
        block[0] = 255
    elif kind.name == "NVFP4":
        block[place] = 0x7F
    elif kind.name == "IQ1_M":
        for number in range(4):
            high = half >> 4 * number & 0xF
            block[49 + 2 * number] = block[49 + 2 * number] & 0x0F | high << 4
    else:
        block[place : place + 2] = np.frombuffer(np.uint16(half).tobytes(), np.uint8)


@pytest.mark.parametrize("half", [0x7C00, 0xFC00, 0x7E01], ids=["inf", "-inf", "nan"])
@pytest.mark.parametrize("kind", QUANTISED, ids=lambda kind: kind.name)
def test_a_scale_that_is_no_number_is_refused_with_its_place(tmp_path: Path, kind: BlockType, half: int) -> None:
    for place in SCALES.get(kind.name, (0, 1, 2, 3) if kind.name == "NVFP4" else (0,)):
        packed = random_blocks(kind)
        row = packed[4].reshape(-1, kind.byte_count)
        with_scale(kind, row[1], place, half)
        tensor = stored(tmp_path / "f", kind, packed, (ROWS, WIDTH))
        at = f"got 'NaN or infinity in the {kind.name} block that begins at [4, {kind.elements}]'"
        with pytest.raises(InputError, match="w: must have blocks of finite scales; fetch or convert") as error:
            tensor.read(None, torch.float32, lambda made: None)
        assert str(error.value).endswith(at)
        # Of other rows it is none.
        assert tensor.read([3, 5], torch.float32, lambda made: None).isfinite().all()
        with pytest.raises(InputError, match="finite scales"):
            tensor.read([0, 4], torch.float32, lambda made: None)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    "kind", [kind for kind in QUANTISED if kind.name not in ("MXFP4", "NVFP4")], ids=lambda k: k.name
)
def test_those_blocks_are_refused_that_have_elements_which_are_no_numbers(kind: BlockType) -> None:
    blocks = np.random.default_rng(1).integers(0, 256, (400, kind.byte_count), np.uint8)
    blocks[:, 1::2] |= 0x70 * (np.random.default_rng(2).random((400, 1)) < 0.5).astype(np.uint8)
    elements = gguf.quants.dequantize(blocks.reshape(1, -1), gguf.GGMLQuantizationType[kind.name])
    is_finite = np.isfinite(elements).reshape(400, -1).all(1)
    told = [first_not_finite(torch.from_numpy(block[None]), kind.name) is None for block in blocks]
    assert told == is_finite.tolist()
    assert 0 < sum(told) < 400


def test_the_place_of_an_expert_s_block_and_of_a_vector_s(tmp_path: Path) -> None:
    kind = BLOCK_TYPES[8]
    packed = random_blocks(kind)
    with_scale(kind, packed[5].reshape(-1, kind.byte_count)[2], 0, 0x7E00)
    experts = stored(tmp_path / "experts", kind, packed, (3, 2, WIDTH))
    with pytest.raises(InputError, match=r"block that begins at \[2, 1, 64\]"):
        experts.read([0, 2], torch.float32, lambda made: None)
    vector = stored(tmp_path / "vector", kind, packed[5:], (WIDTH,))
    with pytest.raises(InputError, match=r"block that begins at \[64\]"):
        vector.read(None, torch.float32, lambda made: None)

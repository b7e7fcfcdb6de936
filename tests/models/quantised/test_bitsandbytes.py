"""Matrices that bitsandbytes itself packs, against what it makes of them again; `make quantised` installs it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.models.hf_files import change_config, saved
from tests.models.quantised.folders import with_weights
from tests.models.quantised.packing import Tensors
from tests.models.test_safetensors_checkpoint import opened, silent, spec

functional = pytest.importorskip("bitsandbytes.functional", reason="bitsandbytes isn't installed")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # On processors with AVX-512 bitsandbytes 0.50 is wrong where a block of 64 goes on in the next row.
    return saved(tmp_path_factory.mktemp("plain") / "m", num_hidden_layers=1, intermediate_size=128)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_four_bits_are_what_the_package_makes_of_them(
    plain: Path, tmp_path: Path, kind: str, nested: bool, dtype: torch.dtype
) -> None:
    stored: Tensors = {}
    meant: Tensors = {}
    for name, weight in load_file(plain / "model.safetensors").items():
        if not name.endswith("proj.weight"):
            stored[name] = weight
            continue
        stored[name], state = functional.quantize_4bit(
            weight.to(dtype), blocksize=64, compress_statistics=nested, quant_type=kind
        )
        stored |= {f"{name}.{end}": tensor.clone() for end, tensor in state.as_dict(packed=True).items()}
        meant[name] = functional.dequantize_4bit(stored[name], state)
    folder = with_weights(plain, tmp_path / "q", stored)
    checkpoint = opened(change_config(folder, quantization_config={"quant_method": "bitsandbytes"}))
    for name, weight in meant.items():
        assert torch.equal(checkpoint.read(spec(name, tuple(weight.shape), dtype), None, silent), weight)


def test_int8_is_what_the_package_makes_of_it(plain: Path, tmp_path: Path) -> None:
    stored: Tensors = {}
    meant: Tensors = {}
    for name, weight in load_file(plain / "model.safetensors").items():
        if not name.endswith("proj.weight"):
            stored[name] = weight
            continue
        stored[name], largest, _ = functional.int8_vectorwise_quant(weight.half())
        stored[name.removesuffix("weight") + "SCB"] = largest
        meant[name] = functional.int8_vectorwise_dequant(stored[name], largest)
    folder = with_weights(plain, tmp_path / "q", stored)
    checkpoint = opened(change_config(folder, quantization_config={"quant_method": "bitsandbytes"}))
    for name, weight in meant.items():
        assert torch.equal(checkpoint.read(spec(name, tuple(weight.shape)), None, silent), weight)

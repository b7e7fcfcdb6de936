"""Packs matrices as published files have them: by a format's own package, or written out bit by bit from its layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

Tensors = dict[str, torch.Tensor]
Packed = tuple[Tensors, torch.Tensor]
"""What a module's tensors are in the file, by what stands behind its path, and the weight [O,I] that they mean."""

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
FP4 = (0, 0.0625 / 12, 8 / 12, 1, 4 / 12, 6 / 12, 2 / 12, 3 / 12)
"""bitsandbytes' fp4, which is none of the usual ones; then the same below zero."""


def words(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """Rows [R,n] of numbers without sign as int32 words [R,n·bits/32]: number i stands in bits i·bits and above."""
    rows = []
    for row in numbers.tolist():
        whole = sum(int(number) << (place * bits) for place, number in enumerate(row))
        count = -(-len(row) * bits // 32)
        rows.append([(whole >> (32 * place)) & 0xFFFFFFFF for place in range(count)])
    return torch.from_numpy(np.array(rows, np.uint32).view(np.int32))


def rounded(weight: torch.Tensor, bits: int, group: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Numbers [O,I], float16 scales [O,G] and zero points [O,G] of a matrix, by the group [I] of each input."""
    count, top = int(group.max()) + 1, 2**bits - 1
    low = torch.stack([weight[:, group == g].amin(1).clamp(max=0) for g in range(count)], 1)  # [O,G]
    high = torch.stack([weight[:, group == g].amax(1).clamp(min=0) for g in range(count)], 1)  # [O,G]
    scale = ((high - low) / top).half()
    zero = (-low / scale.float()).round().clamp(1, top)
    numbers = (weight / scale.float()[:, group] + zero[:, group]).round().clamp(0, top)  # [O,I]
    return numbers.int(), scale, zero.int()


def meant(numbers: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    """The weight [O,I] in float32; the product of 8 and 11 bits is exact there."""
    return (numbers - zero[:, group]).float() * scale.float()[:, group]


def gptq(
    bits: int, group_size: int, less: int = 1, act_order: bool = False, named: bool = True
) -> Callable[..., Packed]:
    """GPTQ's layout, with zero points as they are or one less; the groups' table in the file or not."""

    def pack(weight: torch.Tensor) -> Packed:
        inputs = weight.shape[1]
        group = torch.arange(inputs) // (group_size if group_size > 0 else inputs)
        if act_order:
            group = group[torch.randperm(inputs, generator=torch.Generator().manual_seed(3))]
        numbers, scale, zero = rounded(weight, bits, group)
        tensors = {
            "qweight": words(numbers, bits).t(),
            "qzeros": words((zero - less).t(), bits),
            "scales": scale.t(),
            **({"g_idx": group.int()} if named else {}),
        }
        return tensors, meant(numbers, scale, zero, group)

    return pack


def awq(layout: str, group_size: int = 32) -> Callable[..., Packed]:
    """AWQ's two layouts."""

    def pack(weight: torch.Tensor) -> Packed:
        group = torch.arange(weight.shape[1]) // group_size
        numbers, scale, zero = rounded(weight, 4, group)
        if layout == "gemm":
            order = torch.arange(len(weight)).view(-1, 8)[:, list(AWQ_ORDER)].flatten()
            tensors = {
                "qweight": words(numbers.t()[:, order], 4),
                "qzeros": words(zero.t()[:, order], 4),
                "scales": scale.t(),
            }
        else:
            room = 4 * 8 - scale.shape[1]
            tensors = {
                "qweight": words(numbers, 4),
                "qzeros": words(torch.nn.functional.pad(zero, (0, room)), 4),
                "scales": torch.nn.functional.pad(scale, (0, room)),
            }
        return tensors, meant(numbers, scale, zero, group)

    return pack


def compressed(form: str, scale_dtype: torch.dtype = torch.float32, **arguments: Any) -> Callable[..., Packed]:
    """As compressed-tensors itself packs it, and makes the weight of it again."""
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    compressor = BaseCompressor.get_value_from_registry(form)

    def pack(weight: torch.Tensor) -> Packed:
        state = {"weight": weight, **_scales(weight, arguments, scale_dtype)}
        tensors = dict(compressor.compress(state, scheme))
        return tensors, compressor.decompress(dict(tensors), scheme)["weight"].detach()

    return pack


def _scales(weight: torch.Tensor, arguments: Mapping[str, Any], dtype: torch.dtype) -> Tensors:
    """Scales for compressed-tensors to quantise by."""
    size = arguments.get("group_size") or weight.shape[1]
    grouped = weight.view(len(weight), -1, size)  # [O,G,size]
    bits, kind = arguments["num_bits"], arguments["type"]
    if arguments["strategy"] == "tensor_group":
        whole = 448 * 6 / weight.abs().max()
        scale = (grouped.abs().amax(2) / 6 * whole).to(torch.float8_e4m3fn).float()
        return {"weight_scale": scale, "weight_global_scale": whole.reshape(1)}
    if kind == "float":
        scale = grouped.abs().amax(2) / (6 if bits == 4 else 448)
        return {"weight_scale": torch.exp2(torch.ceil(torch.log2(scale)))}
    if arguments.get("symmetric") is False:
        low, high = grouped.amin(2), grouped.amax(2)
        scale = ((high - low) / (2**bits - 1)).to(dtype)
        zero = (-(2 ** (bits - 1)) - low / scale.float()).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return {"weight_scale": scale, "weight_zero_point": zero.to(torch.int8)}
    scale = (grouped.abs().amax(2) / (2 ** (bits - 1) - 1)).to(dtype)
    if arguments["strategy"] == "tensor":
        scale = scale.max().reshape(1)
    return {"weight_scale": scale, "weight_zero_point": torch.zeros_like(scale, dtype=torch.int8)}


def four_bits(kind: str, block: int = 64, nested: bool = False) -> Callable[..., Packed]:
    """bitsandbytes' layout: two codes in a byte, the first in its high half, the largest value of each block beside."""
    table = torch.tensor(NF4 if kind == "nf4" else [*FP4, *(-x for x in FP4)])  # [16]

    def pack(weight: torch.Tensor) -> Packed:
        blocks = weight.reshape(-1, block)
        largest = blocks.abs().amax(1)  # [blocks]
        tensors: Tensors = {"weight.quant_map": table.clone()}
        state: dict[str, Any] = {
            "quant_type": kind,
            "blocksize": block,
            "dtype": "float16",
            "shape": list(weight.shape),
        }
        if nested:
            largest, more = _nested(largest, state)
            tensors |= more
        else:
            tensors["weight.absmax"] = largest
        codes = (blocks.unsqueeze(-1) / largest.view(-1, 1, 1) - table).abs().argmin(-1)  # [blocks,block]
        flat = codes.flatten().to(torch.uint8)
        tensors["weight"] = (flat[::2] << 4 | flat[1::2]).unsqueeze(1)
        text = json.dumps(state).encode()
        tensors[f"weight.quant_state.bitsandbytes__{kind}"] = torch.tensor(list(text), dtype=torch.uint8)
        return tensors, (table[codes] * largest.unsqueeze(1)).view(weight.shape)

    return pack


def _nested(largest: torch.Tensor, state: dict[str, Any]) -> tuple[torch.Tensor, Tensors]:
    """The largest values of blocks in 8 bits themselves, in blocks of 16."""
    offset = float(largest.mean())
    codes = torch.linspace(-1, 1, 256)
    groups = torch.nn.functional.pad(largest - offset, (0, -len(largest) % 16)).view(-1, 16)
    most = groups.abs().amax(1)  # [groups]
    places = (groups.unsqueeze(-1) / most.view(-1, 1, 1) - codes).abs().argmin(-1)  # [groups,16]
    made = (codes[places] * most.unsqueeze(1)).flatten()[: len(largest)] + offset
    state |= {"nested_blocksize": 16, "nested_dtype": "float32", "nested_offset": offset}
    stored = {
        "weight.absmax": places.flatten()[: len(largest)].to(torch.uint8),
        "weight.nested_absmax": most,
        "weight.nested_quant_map": codes,
    }
    return made, stored


def int8(weight: torch.Tensor) -> Packed:
    """bitsandbytes' int8: the largest value of each row, a 127th of which each number counts."""
    largest = weight.abs().amax(1)  # [O]
    numbers = (weight / largest.unsqueeze(1) * 127).round().to(torch.int8)
    tensors = {"weight": numbers, "SCB": largest, "weight_format": torch.tensor(0, dtype=torch.uint8)}
    return tensors, numbers * largest.unsqueeze(1) * 7.874015718698502e-3


def modelopt_fp4(weight: torch.Tensor) -> Packed:
    """modelopt's NVFP4: as compressed-tensors', but that the second scale multiplies."""
    arguments: dict[str, Any] = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
    tensors, _ = compressed("nvfp4-pack-quantized", **arguments)(weight)
    whole = (1 / tensors["weight_global_scale"]).reshape(())
    scale = tensors["weight_scale"].float() * whole  # [O,I/16]
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
    codes = torch.stack([tensors["weight_packed"] & 15, tensors["weight_packed"] >> 4], -1).flatten(1)
    stored = {"weight": tensors["weight_packed"], "weight_scale": tensors["weight_scale"], "weight_scale_2": whole}
    return stored, values[codes.int()] * scale.repeat_interleave(16, 1)


@dataclass(frozen=True)
class Published:
    """A form in which models are published."""

    pack: Callable[..., Packed]
    config: Mapping[str, Any]
    label: str
    """How a note calls it."""
    file: str = ""
    """The file beside config.json that says it; empty where config.json does."""
    key: str = "quantization_config"
    """Under which config.json says it."""


def mlx(bits: int, size: int = 32) -> Callable[..., Packed]:
    """MLX's layout: numbers that follow each other without gaps, times a scale, and a bias added."""

    def pack(weight: torch.Tensor) -> Packed:
        groups = weight.view(len(weight), -1, size)  # [O,G,size]
        bias = groups.amin(2).bfloat16()  # [O,G]
        scale = ((groups.amax(2) - bias.float()) / (2**bits - 1)).bfloat16()
        whole = scale.float().unsqueeze(2), bias.float().unsqueeze(2)  # [O,G,1] each
        numbers = ((groups - whole[1]) / whole[0]).round().clamp(0, 2**bits - 1)
        packed = words(numbers.flatten(1).int(), bits).view(torch.uint32)
        made = (numbers * whole[0] + whole[1]).flatten(1)
        return {"weight": packed, "scales": scale, "biases": bias}, made

    return pack


def _groups(form: str, **weights: Any) -> Mapping[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": groups}


_FP4 = {"num_bits": 4, "type": "float"}
_MX8 = {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"}


def _compressed(form: str, label: str, **weights: Any) -> Published:
    return Published(compressed(form, **weights), _groups(form, **weights), label)


_GPTQ = {"quant_method": "gptq", "bits": 4, "sym": False}
_BNB = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
FORMS: Mapping[str, Published] = {
    **{
        f"gptq, {bits} bits": Published(gptq(bits, 32), {**_GPTQ, "bits": bits, "group_size": 32}, f"GPTQ, {bits} bits")
        for bits in (2, 3, 4, 8)
    },
    "gptq v2": Published(gptq(4, 32, 0), {**_GPTQ, "group_size": 32, "checkpoint_format": "gptq_v2"}, "GPTQ, 4 bits"),
    "gptq, activation order": Published(gptq(4, 16, act_order=True), {**_GPTQ, "group_size": 16}, "GPTQ, 4 bits"),
    "gptq, one group": Published(gptq(4, -1, named=False), {**_GPTQ, "group_size": -1}, "GPTQ, 4 bits"),
    "gptq, a short group": Published(gptq(4, 64, named=False), {**_GPTQ, "group_size": 64}, "GPTQ, 4 bits"),
    "gptq, beside": Published(gptq(4, 32), {"bits": 4, "group_size": 32}, "GPTQ, 4 bits", "quantize_config.json"),
    "awq": Published(awq("gemm"), {"quant_method": "awq", "group_size": 32, "version": "gemm"}, "AWQ, 4 bits"),
    "awq, gemv": Published(awq("gemv"), {"quant_method": "awq", "group_size": 32, "version": "gemv"}, "AWQ, 4 bits"),
    "awq, beside": Published(
        awq("gemm"), {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}, "AWQ, 4 bits",
        "quant_config.json",
    ),
    **{
        f"int{bits}, {strategy}, {'' if symmetric else 'not '}symmetric": _compressed(
            "pack-quantized", f"compressed-tensors, {bits} bits", num_bits=bits, type="int", strategy=strategy,
            symmetric=symmetric, **({"group_size": 32} if strategy == "group" else {}),
        )
        for bits, strategy, symmetric in [
            (4, "group", True), (4, "group", False), (4, "channel", True), (4, "channel", False), (3, "group", True),
            (8, "channel", True),
        ]
    },
    **{
        f"int8 of bytes, {strategy}": _compressed(
            "int-quantized", "compressed-tensors, int8", num_bits=8, type="int", strategy=strategy, symmetric=True
        )
        for strategy in ("channel", "tensor")
    },
    "float8, channel": _compressed("float-quantized", "float8", num_bits=8, type="float", strategy="channel"),
    "mxfp8": _compressed("mxfp8-quantized", "float8", **_MX8),
    "nvfp4": _compressed("nvfp4-pack-quantized", "NVFP4", strategy="tensor_group", group_size=16, **_FP4),
    "mxfp4": _compressed("mxfp4-pack-quantized", "MXFP4", strategy="group", group_size=32, **_FP4),
    "modelopt nvfp4": Published(modelopt_fp4, {"quant_method": "modelopt", "quant_algo": "NVFP4"}, "NVFP4"),
    "modelopt nvfp4, beside": Published(
        modelopt_fp4, {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}, "NVFP4",
        "hf_quant_config.json",
    ),
    "nf4": Published(four_bits("nf4"), _BNB, "bitsandbytes nf4"),
    "nf4, nested": Published(four_bits("nf4", nested=True), _BNB, "bitsandbytes nf4"),
    "nf4, long blocks": Published(four_bits("nf4", block=256), _BNB, "bitsandbytes nf4"),
    "fp4, nested": Published(four_bits("fp4", nested=True), _BNB, "bitsandbytes fp4"),
    **{
        f"mlx, {bits} bits": Published(
            mlx(bits), {"group_size": 32, "bits": 4, "mode": "affine"}, f"MLX, {bits} bits", key="quantization"
        )
        for bits in (2, 3, 4, 5, 6, 8)
    },
    "bitsandbytes int8": Published(int8, {"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes int8"),
}  # fmt: skip

"""4-bit floats e2m1, two in a byte: MXFP4 with a power of two for 32 inputs, NVFP4 with two scales for 16.

Source of the layouts: transformers' `convert_moe_packed_tensors` (gpt-oss), compressed-tensors'
`unpack_fp4_from_uint8` and `dequantize`, and modelopt's `NVFP4QTensor`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from tracetui.models.checkpoints.quantised.bits import FP4, nibbles
from tracetui.models.checkpoints.quantised.float8 import FLOAT8, exponents
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import SCALE_DTYPES, PackedWeight, StoredParts, Values

_BYTES = (torch.uint8,)
_MX_GROUP, _NV_GROUP = 32, 16
_OUTPUTS_AT_ONCE = 512


def expert_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """blocks [E,O,G,16] and scales [E,O,G] of all experts of gpt-oss, which its module holds as [E,I,O]."""
    parts.check("blocks", _BYTES)
    shape = parts["blocks"].shape
    if len(shape) != 4 or 0 in shape or shape[3] * 2 != _MX_GROUP:
        parts.fail("blocks", f"must be of the shape [experts, outputs, groups, {_MX_GROUP // 2}]", list(shape))
    experts, outputs, groups, _ = shape
    parts.check("scales", (torch.uint8, torch.float8_e8m0fnu), (experts, outputs, groups))
    inputs = groups * _MX_GROUP

    def begin() -> Values:
        scale = exponents(parts, "scales")  # [E,O,G]
        table = torch.tensor(FP4)

        def values(places: Sequence[int]) -> torch.Tensor:
            out = torch.empty(len(places), inputs, outputs)  # [e,I,O]
            for at, expert in enumerate(places):
                packed = parts["blocks"].take([expert])[0]  # [O,G,16]
                for first in range(0, outputs, _OUTPUTS_AT_ONCE):
                    part = slice(first, first + _OUTPUTS_AT_ONCE)
                    made = table[nibbles(packed[part]).int()] * scale[expert, part].unsqueeze(-1)  # [o,G,32]
                    out[at, :, part] = made.flatten(1).t()
            return out

        return values

    return PackedWeight("MXFP4", (experts, inputs, outputs), begin, is_linear=False)


def compressed_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight_packed [O,I/2]: NVFP4 if it has a global scale, that divides those of groups; else MXFP4."""
    if "whole" in parts:
        return _nvfp4(parts, "packed", lambda scale, whole: scale / whole)
    shape = _shape(parts, "packed", _MX_GROUP)
    parts.check("scale", (torch.uint8, torch.float8_e8m0fnu), (shape[0], shape[1] // _MX_GROUP))
    return _matrix(parts, "packed", "MXFP4", shape, lambda: exponents(parts, "scale"))


def modelopt_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight [O,I/2], weight_scale [O,I/16], and weight_scale_2, which multiplies these."""
    return _nvfp4(parts, "weight", lambda scale, whole: scale * whole)


def _nvfp4(parts: StoredParts, packed: str, join: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> PackedWeight:
    shape = _shape(parts, packed, _NV_GROUP)
    parts.check("scale", (FLOAT8, *SCALE_DTYPES), (shape[0], shape[1] // _NV_GROUP))
    parts.check("whole", SCALE_DTYPES, (), (1,))

    def scales() -> torch.Tensor:
        joined = join(parts.scales("scale"), parts.scales("whole").reshape(()))
        parts.check_finite("whole", joined)
        return joined

    return _matrix(parts, packed, "NVFP4", shape, scales)


def _shape(parts: StoredParts, packed: str, group: int) -> tuple[int, int]:
    outputs, width = parts.matrix(packed, _BYTES)
    if 2 * width % group:
        parts.fail(packed, f"must have a multiple of {group // 2} bytes in a row, groups of {group}", [outputs, width])
    return outputs, 2 * width


def _matrix(
    parts: StoredParts, packed: str, form: str, shape: tuple[int, int], scales: Callable[[], torch.Tensor]
) -> PackedWeight:
    """A matrix [O,I] of 4-bit floats with a scale [O,G] for each group of inputs."""

    def begin() -> Values:
        scale = scales()  # [O,G]
        table = torch.tensor(FP4)

        def values(places: Sequence[int]) -> torch.Tensor:
            numbers = table[nibbles(parts[packed].take(places)).int()]  # [o,I]
            of_rows = scale.index_select(0, torch.tensor(places)).unsqueeze(-1)  # [o,G,1]
            return (numbers.view(len(places), scale.shape[1], -1) * of_rows).flatten(1)  # [o,I]

        return values

    return PackedWeight(form, shape, begin, is_linear=False)

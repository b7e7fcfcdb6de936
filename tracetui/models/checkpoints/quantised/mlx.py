"""MLX's affine integers: for each group of inputs a scale and what is added, of 2 to 8 bits that follow without gaps.

The weight is number · scale + bias, in float32. Source of the layout: `mlx.core.quantize`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracetui.models.checkpoints.quantised.bits import WORD_BITS, unpacked
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import SCALE_DTYPES, PackedWeight, StoredParts, Values

_BITS = (2, 3, 4, 5, 6, 8)


def mlx_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight [O,I·bits/32] of words, scales [O,G] and biases of the same shape."""
    outputs, words = parts.matrix("weight", (torch.uint32,))
    rows, groups = parts.matrix("scales", SCALE_DTYPES)
    if rows != outputs:
        parts.fail("scales", f"must have scales for {outputs} rows", [rows, groups])
    parts.check("biases", SCALE_DTYPES, (rows, groups))
    size = method.group_size_of(parts.labels["weight"].removesuffix(".weight"))
    if size is None:
        parts.fail("weight", "is of MLX, and config.json has no quantization with a group_size to read it by")
    inputs = groups * size
    bits = next((bits for bits in _BITS if inputs * bits == words * WORD_BITS), None)
    if bits is None:
        problem = f"must hold {inputs} numbers of 2, 3, 4, 5, 6 or 8 bits in a row, {groups} groups of {size}"
        parts.fail("weight", problem, [outputs, words])

    def begin() -> Values:
        scale, bias = parts.scales("scales"), parts.scales("biases")  # [O,G] each

        def values(places: Sequence[int]) -> torch.Tensor:
            packed = parts["weight"].take(places).view(torch.int32)  # [o,W]
            numbers = unpacked(packed, bits, inputs).float()  # [o,I]
            of_rows, added = (part.index_select(0, torch.tensor(places)).unsqueeze(-1) for part in (scale, bias))
            numbers.view(len(places), groups, size).mul_(of_rows).add_(added)
            return numbers

        return values

    return PackedWeight(f"MLX, {bits} bits", (outputs, inputs), begin, is_linear=False)

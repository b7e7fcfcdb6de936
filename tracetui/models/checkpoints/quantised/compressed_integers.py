"""compressed-tensors' integers: packed in words, or of a byte each, with a scale for all, a row or a group of inputs.

The weight is (integer - zero) · scale, in float32. Source of the layouts: that package's `pack_to_int32`,
`unpack_from_int32` and `dequantize`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from tracetui.models.checkpoints.quantised.bits import unpacked, word_count
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import SCALE_DTYPES, PackedWeight, StoredParts, Values, group_size

_SIDE = 2**31
Numbers = Callable[[Sequence[int]], torch.Tensor]
"""From rows to their integers [o,I]."""


def packed_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight_packed [O,W] of words, weight_scale [O,G], maybe weight_zero_point [O·bits/32,G] and weight_g_idx [I]."""
    outputs, words = parts.matrix("packed", (torch.int32,))
    rows, inputs = _shape(parts)
    bits = next((bits for bits in range(1, 9) if word_count(inputs, bits) == words), None)
    if rows != outputs or bits is None:
        parts.fail("packed", f"must hold a matrix of {[rows, inputs]} in words", [outputs, words])
    middle = 1 << (bits - 1)

    def numbers(places: Sequence[int]) -> torch.Tensor:
        return unpacked(parts["packed"].take(places), bits, inputs) - middle  # [o,I]

    return _weight(parts, method, f"compressed-tensors, {bits} bits", (outputs, inputs), bits, numbers)


def byte_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight [O,I] of int8, weight_scale, maybe weight_zero_point of the same shape."""
    shape = parts.matrix("weight", (torch.int8,))
    return _weight(parts, method, "compressed-tensors, int8", shape, 8, parts["weight"].take)


def _weight(
    parts: StoredParts, method: Method, form: str, shape: tuple[int, int], bits: int, numbers: Numbers
) -> PackedWeight:
    outputs, inputs = shape
    groups = _groups(parts, shape)
    size = group_size(parts, "scale", inputs, groups, method.group_size if groups > 1 else None)
    parts.check_order("scale", groups, method.has_input_order)
    if "zero" in parts:
        _check_zero(parts, outputs, groups, bits)
    elif method.has_zero_points:
        parts.fail(
            "scale", "is of weights that have zero points by the configuration, and weight_zero_point isn't there"
        )
    if "g_idx" in parts:
        parts.check("g_idx", (torch.int32, torch.int64), (inputs,))

    def begin() -> Values:
        scale = parts.scales("scale").reshape(-1, groups)  # [O or 1,G]
        zero = _zero(parts, outputs, groups, bits)  # [O or 1,G] or one 0
        index = parts.groups("g_idx", inputs, groups) if groups > 1 else None
        if index is None and size * groups != inputs:
            index = torch.arange(inputs) // size  # [I]

        def values(places: Sequence[int]) -> torch.Tensor:
            rows = torch.tensor(places)
            number = numbers(places).float()  # [o,I]
            of_rows = _of(scale, rows), _of(zero, rows)  # [o or 1,G] each
            if index is not None:
                of_inputs, from_inputs = (table[:, index] for table in of_rows)  # [o or 1,I] each
                return number.sub_(from_inputs).mul_(of_inputs)
            grouped = number.view(len(places), groups, -1)  # [o,G,I/G]
            if "zero" in parts:
                grouped.sub_(of_rows[1].unsqueeze(-1))
            grouped.mul_(of_rows[0].unsqueeze(-1))
            return number

        return values

    return PackedWeight(form, shape, begin, is_linear=False)


def _of(table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    return table if len(table) == 1 else table.index_select(0, rows)


def _groups(parts: StoredParts, shape: tuple[int, int]) -> int:
    """How many groups of inputs have a scale of their own. Raises InputError for scales of another shape."""
    outputs, _ = shape
    scale = parts["scale"]
    parts.check("scale", SCALE_DTYPES)
    if scale.shape in ((), (1,), (1, 1), (outputs,), (outputs, 1)):
        return 1
    if len(scale.shape) != 2 or scale.shape[0] != outputs or not scale.shape[1]:
        problem = f"must be one number, or one for each of {outputs} rows and each group of inputs"
        parts.fail("scale", problem, list(scale.shape))
    return scale.shape[1]


def _check_zero(parts: StoredParts, outputs: int, groups: int, bits: int) -> None:
    """Raises InputError unless the zero points are as many as the scales, packed along outputs or a byte each."""
    if parts["zero"].dtype == torch.int32:
        parts.check("zero", (torch.int32,), (word_count(outputs, bits), groups))
    else:
        parts.check("zero", (torch.int8,), parts["scale"].shape)


def _zero(parts: StoredParts, outputs: int, groups: int, bits: int) -> torch.Tensor:
    """The zero points [O or 1,G] in float32; one 0 where there are none."""
    if "zero" not in parts:
        return torch.zeros(1, groups)
    zero = parts["zero"].whole()
    if zero.dtype == torch.int32:
        return (unpacked(zero.t(), bits, outputs).t() - (1 << (bits - 1))).float()  # [O,G]
    return zero.float().reshape(-1, groups)


def _shape(parts: StoredParts) -> tuple[int, int]:
    """What the file says that the matrix is, as its words may have room for more."""
    stored = parts["shape"]
    parts.check("shape", (torch.int64, torch.int32), (2,))
    content = parts.texts["shape"]
    step = stored.dtype.itemsize
    rows, columns = (int.from_bytes(content[at : at + step], "little", signed=True) for at in (0, step))
    if not (0 < rows < _SIDE and 0 < columns < _SIDE):
        parts.fail("shape", "must be the rows and columns of a matrix", [rows, columns])
    return rows, columns

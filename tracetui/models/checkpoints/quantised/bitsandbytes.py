"""bitsandbytes: codes of 4 bits with the largest value of each block beside them, or int8 with one for each row.

Source of the layouts: `QuantState`, `dequantize_4bit`, `dequantize_blockwise` and `int8_vectorwise_dequant` of that
package. The first of two numbers stands in a byte's high half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from tracetui.errors import InputError
from tracetui.formats.json_text import parse_json_object
from tracetui.formats.table import Fields, check_plain
from tracetui.models.checkpoints.quantised.bits import nibbles
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import SCALE_DTYPES, PackedWeight, StoredParts, Values
from tracetui.models.checkpoints.weight_file import StoredTensor

_TO_FRACTION = 7.874015718698502e-3
"""1/127, as that package has it."""
_CODES = 16
_NESTED_CODES = 256
_MOST_BLOCK = 2**20
_SIDE = 2**31


def int8_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """weight [O,I] of int8 and SCB [O], the largest absolute value of each row."""
    shape = parts.matrix("weight", (torch.int8,))
    parts.check("largest", SCALE_DTYPES, (shape[0],), (shape[0], 1))
    if "order" in parts and any(parts.texts["order"]):
        parts.fail("order", "must be 0, for rows one after another", list(parts.texts["order"][:4]))

    def begin() -> Values:
        largest = parts.scales("largest").reshape(-1, 1)  # [O,1]

        def values(places: Sequence[int]) -> torch.Tensor:
            return parts["weight"].take(places) * largest.index_select(0, torch.tensor(places)) * _TO_FRACTION  # [o,I]

        return values

    return PackedWeight("bitsandbytes int8", shape, begin)


def four_bit_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """The codes of a matrix [O,I] one after another, absmax for each block of them, and what each code stands for."""
    state = _State(parts)
    codes = _as_bytes(parts, state.shape)
    blocks = -(-state.shape[0] * state.shape[1] // state.block)
    parts.check("codes", (torch.float32,), (_CODES,))
    if "nested_largest" in parts:
        if "nested_codes" not in parts:
            parts.fail("nested_largest", "means nothing without nested_quant_map beside it, which is missing")
        parts.check("largest", (torch.uint8,), (blocks,), (blocks, 1))
        parts.check("nested_codes", (torch.float32,), (_NESTED_CODES,))
        parts.check("nested_largest", (torch.float32,), (-(-blocks // state.nested_block),))
    else:
        parts.check("largest", SCALE_DTYPES, (blocks,), (blocks, 1))
    width = state.shape[1]

    def begin() -> Values:
        table = parts.scales("codes")  # [16]
        largest = _largest(parts, state)  # [blocks]

        def values(places: Sequence[int]) -> torch.Tensor:
            numbers = table[nibbles(codes.take(places), high_first=True).int()]  # [o,I]
            starts = torch.tensor(places) * width  # [o]
            block = (starts.unsqueeze(1) + torch.arange(width)) // state.block  # [o,I]
            return numbers * largest[block]

        return values

    return PackedWeight(f"bitsandbytes {state.kind}", state.shape, begin)


class _State:
    """What the file says of one weight in JSON, as bytes of a tensor."""

    def __init__(self, parts: StoredParts) -> None:
        path, label = parts["state"].file.path, parts.labels["state"]
        where = f"{path}: {label}"
        fields = Fields(parse_json_object(parts.texts["state"], where), where)
        check_plain(fields.found, where)
        self.kind = fields.text("quant_type")
        self.block = fields.integer("blocksize", most=_MOST_BLOCK)
        is_nested = "nested_largest" in parts
        self.nested_block = fields.integer("nested_blocksize", most=_MOST_BLOCK) if is_nested else 1
        self.offset = _number(fields, "nested_offset") if is_nested else 0.0
        shape = fields.found.get("shape")
        if (
            not isinstance(shape, list)
            or len(shape) != 2
            or not all(isinstance(size, int) and not isinstance(size, bool) and 0 < size < _SIDE for size in shape)
        ):
            fields.fail("shape", "must be the rows and columns of a matrix")
        self.shape: tuple[int, int] = (shape[0], shape[1])
        if not label.endswith(f"__{self.kind}"):
            fields.fail("quant_type", "must be as the tensor's own name says")


def _number(fields: Fields, field: str) -> float:
    value = fields.found.get(field)
    if not isinstance(value, int | float) or isinstance(value, bool):
        fields.fail(field, "must be a number")
    return float(value)


def _as_bytes(parts: StoredParts, shape: tuple[int, int]) -> StoredTensor:
    """The codes as rows [O,I/2] of bytes, whatever dtype they are stored as. Raises InputError."""
    stored = parts["weight"]
    rows, columns = shape
    if columns % 2:
        raise InputError(f"{stored.file.path}: {parts.labels['state']}: shape: rows must be of an even length")
    if stored.nbytes * 2 != rows * columns:
        parts.fail(
            "weight", f"must be of {rows * columns // 2:,} bytes, two numbers of {list(shape)} in each", stored.nbytes
        )
    return replace(stored, dtype=torch.uint8, shape=(rows, columns // 2))


def _largest(parts: StoredParts, state: _State) -> torch.Tensor:
    """The largest absolute value [blocks] of each block, itself in 8 bits where it is nested."""
    if "nested_largest" not in parts:
        return parts.scales("largest").flatten()
    codes, nested = parts.scales("nested_codes"), parts.scales("nested_largest")
    numbers = codes[parts["largest"].whole().flatten().int()]  # [blocks]
    largest = numbers * nested[torch.arange(len(numbers)) // state.nested_block] + state.offset
    parts.check_finite("largest", largest)
    return largest

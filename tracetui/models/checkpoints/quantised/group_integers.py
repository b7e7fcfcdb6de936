"""GPTQ and AWQ: integers of a few bits, and for each group of inputs a scale and a zero point for each output.

The weight is scale · (integer - zero), in float32. Source of the layouts: the `pack` and `dequantize_weight` of
GPTQModel's linear layers, and AutoAWQ's `packing_utils` and `WQLinear_GEMV`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracetui.models.checkpoints.quantised.bits import WORD_BITS, bits_of, unpacked, word_count
from tracetui.models.checkpoints.quantised.method import Method
from tracetui.models.checkpoints.quantised.weight import SCALE_DTYPES, PackedWeight, StoredParts, Values, group_size

_WORDS = (torch.int32,)
_GPTQ_BITS = (2, 3, 4, 8)
_AWQ_BITS = 4
_IN_WORD = WORD_BITS // _AWQ_BITS
_AWQ_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)
"""Where in a word each of eight outputs stands that follow each other."""


def gptq_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """qweight [I·bits/32,O], qzeros [G,O·bits/32], scales [G,O] and maybe the group of each input, g_idx [I]."""
    if _is_gemm(parts):
        if method.name:
            parts.fail("qweight", f"is laid out as AWQ's gemm, and the configuration says {method.name}")
        return _gemm_weight(parts, method)
    words, outputs = parts.matrix("qweight", _WORDS)
    groups, columns = parts.matrix("scales", SCALE_DTYPES)
    if columns != outputs:
        parts.fail("scales", f"must be of the shape {[groups, outputs]}", [groups, columns])
    zero_words = parts.matrix("qzeros", _WORDS)[1]
    bits = bits_of(zero_words, outputs, _GPTQ_BITS)
    if bits is None or words * WORD_BITS % bits:
        parts.fail("qzeros", f"must hold a number of 2, 3, 4 or 8 bits for each of {outputs} outputs", zero_words)
    parts.check("qzeros", _WORDS, (groups, zero_words))
    inputs = words * WORD_BITS // bits
    parts.check_order("qweight", groups, method.has_input_order)
    if "g_idx" in parts:
        parts.check("g_idx", (torch.int32, torch.int64), (inputs,))
    else:
        group_size(parts, "scales", inputs, groups, method.group_size)
    less = method.zeros_are_one_less
    if less is None:
        parts.fail("qzeros", "holds zero points as they are or one less, and quantize_config.json isn't there to say")

    def begin() -> Values:
        scale = parts.scales("scales")  # [G,O]
        top = (1 << bits) - 1
        zero = ((unpacked(parts["qzeros"].whole(), bits, outputs) + int(less)) & top).float()  # [G,O]
        index = parts.groups("g_idx", inputs, groups)
        if index is None:
            index = torch.arange(inputs) // group_size(parts, "scales", inputs, groups, method.group_size)

        def values(places: Sequence[int]) -> torch.Tensor:
            first, count = places[0], len(places)
            held = range(first * bits // WORD_BITS, word_count(first + count, bits))
            numbers = unpacked(parts["qweight"].take(held).t(), bits, count).t()  # [i,O]
            of_input = index[first : first + count]  # [i]
            return (numbers.float() - zero[of_input]) * scale[of_input]  # [i,O]

        return values

    # Three bits fill words only together: 32 numbers stand in three of them.
    return PackedWeight(f"GPTQ, {bits} bits", (outputs, inputs), begin, axis=1, multiple=WORD_BITS)


def awq_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """qweight [I,O/8], qzeros [G,O/8], scales [G,O]; or of the layout gemv each of them with outputs first."""
    return _gemv_weight(parts, method) if method.layout == "gemv" else _gemm_weight(parts, method)


def _is_gemm(parts: StoredParts) -> bool:
    """Whether words hold outputs that follow each other, as in AWQ's gemm; in GPTQ's they hold inputs."""
    words, zeros, scales = (parts[role].shape for role in ("qweight", "qzeros", "scales"))
    return words[1:] == zeros[1:] and scales[1:] == tuple(_IN_WORD * size for size in words[1:])


def _gemm_weight(parts: StoredParts, method: Method) -> PackedWeight:
    inputs, words = parts.matrix("qweight", _WORDS)
    groups = parts.matrix("scales", SCALE_DTYPES)[0]
    outputs = words * _IN_WORD
    parts.check("scales", SCALE_DTYPES, (groups, outputs))
    parts.check("qzeros", _WORDS, (groups, words))
    size = group_size(parts, "scales", inputs, groups, method.group_size)
    order = torch.arange(outputs).view(-1, _IN_WORD)[:, list(_AWQ_PLACES)].flatten()  # [O]

    def begin() -> Values:
        scale = parts.scales("scales")  # [G,O]
        zero = unpacked(parts["qzeros"].whole(), _AWQ_BITS, outputs)[:, order].float()  # [G,O]

        def values(places: Sequence[int]) -> torch.Tensor:
            numbers = unpacked(parts["qweight"].take(places), _AWQ_BITS, outputs)[:, order]  # [i,O]
            of_input = torch.tensor(places) // size  # [i]
            return (numbers.float() - zero[of_input]) * scale[of_input]  # [i,O]

        return values

    return PackedWeight("AWQ, 4 bits", (outputs, inputs), begin, axis=1)


def _gemv_weight(parts: StoredParts, method: Method) -> PackedWeight:
    """qweight [O,I/8], qzeros [O,W], scales [O,8·W]: more groups have room than there are."""
    outputs, words = parts.matrix("qweight", _WORDS)
    inputs = words * _IN_WORD
    size = method.group_size if method.group_size and method.group_size > 0 else inputs
    if inputs % size:
        parts.fail("qweight", f"must be of groups of {size} inputs", inputs)
    room = parts.matrix("qzeros", _WORDS)[1]
    if room < word_count(inputs // size, _AWQ_BITS):
        parts.fail("qzeros", f"must have a zero point for each of {inputs // size} groups", [outputs, room])
    parts.check("qzeros", _WORDS, (outputs, room))
    parts.check("scales", SCALE_DTYPES, (outputs, room * _IN_WORD))

    def begin() -> Values:
        scale = parts.scales("scales")  # [O,8·W]
        zero = unpacked(parts["qzeros"].whole(), _AWQ_BITS, room * _IN_WORD).float()  # [O,8·W]
        index = torch.arange(inputs) // size  # [I]

        def values(places: Sequence[int]) -> torch.Tensor:
            rows = torch.tensor(places)
            numbers = unpacked(parts["qweight"].take(places), _AWQ_BITS, inputs)  # [o,I]
            return (numbers.float() - zero[rows][:, index]) * scale[rows][:, index]  # [o,I]

        return values

    return PackedWeight("AWQ, 4 bits", (outputs, inputs), begin)

"""How llama.cpp rounds the inputs of its products, which their weights' type decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from tracetui.recording.weight_prints import WeightPrint

Floats = npt.NDArray[np.float64]
_LEVELS = 127
"""Whole numbers of either sign that 8 bits have."""
_SMALL, _LARGE = 32, 256
_GGUF_TYPE = re.compile(r"(?:I?Q|TQ|MXFP|NVFP)\d")
"""How the names of its types of block begin."""
_LARGE_TYPES = ("IQ1", "IQ2", "IQ3", "IQ4_XS", "TQ")


@dataclass(frozen=True, slots=True)
class InputRounding:
    """How a product's inputs are rounded before it."""

    words: str
    """`8 bits in blocks of 32`."""
    weights: str
    """The weights for which it is done: `Q4_1`, `float16`."""
    made_of: Callable[[Floats], Floats]
    """The rounded inputs [N,D] of those [N,D]."""


def input_roundings(weight: WeightPrint) -> Sequence[InputRounding]:
    """How llama.cpp may round what it multiplies with a weight; none where it takes float32 as it is.

    Source: `vec_dot_type` of ggml's types: Q8_K for K-, IQ and TQ types, Q8_0 or Q8_1 for the others in blocks, the
    weights' own for float16 and bfloat16.
    """
    if "dequantised" in weight.provenance:
        form = weight.provenance.partition("dequantised")[2].partition("+")[0].strip()
        types = form.split() if form and all(map(_GGUF_TYPE.match, form.split())) else [form]
        return [rounding for kind in types for rounding in _in_blocks(kind)]
    sample = np.array(weight.sample)
    narrow = (("float16", _float16), ("bfloat16", _bfloat16))
    return [
        InputRounding(name, name, rounded) for name, rounded in narrow if bool(np.array_equal(rounded(sample), sample))
    ]


def _in_blocks(kind: str) -> Sequence[InputRounding]:
    """Of a type of GGUF's; of a folder that was quantised otherwise, whose type in GGUF isn't known, both."""
    large = kind.endswith(("_K", "_K_S", "_K_M", "_K_L")) or kind.startswith(_LARGE_TYPES)
    sizes = [_LARGE if large else _SMALL] if _GGUF_TYPE.match(kind) else [_SMALL, _LARGE]
    weights = kind or "quantised"
    return [InputRounding(f"8 bits in blocks of {size}", weights, partial(_blocks, size=size)) for size in sizes]


def _blocks(inputs: Floats, size: int) -> Floats:
    """Each block of a row as whole multiples of its largest element's 127th."""
    rows, width = inputs.shape
    padded = np.pad(inputs, ((0, 0), (0, -width % size))).reshape(rows, -1, size)  # [N,blocks,size]
    steps = np.abs(padded).max(axis=-1, keepdims=True) / _LEVELS
    whole = np.rint(np.divide(padded, steps, out=np.zeros_like(padded), where=steps > 0))
    return np.asarray((whole * steps).reshape(rows, -1)[:, :width])


def _float16(inputs: Floats) -> Floats:
    with np.errstate(over="ignore"):
        return inputs.astype(np.float16).astype(np.float64)


def _bfloat16(inputs: Floats) -> Floats:
    with np.errstate(over="ignore"):
        narrow = inputs.astype(np.float32)
    bits = narrow.view(np.uint32).astype(np.uint64)
    even = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return even.astype(np.uint32).view(np.float32).astype(np.float64)

"""Whether the scales in blocks of a GGUF file are numbers, told by the bits that a NaN or an infinity has.

Source of the places: the block structures of ggml-common.h. llama.cpp takes such a scale for what it is, or for a large
number or 0; no quantiser writes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

Bits = Sequence[tuple[int, int]]
"""Bytes of a block, each with the bits that are all set in it."""


def _halves(*places: int) -> tuple[Bits, ...]:
    """Of float16 numbers that begin at these bytes: all bits of the exponent."""
    return tuple([(place + 1, 0x7C)] for place in places)


_AT_THE_START = _halves(0)
_NOT_FINITE: Mapping[str, tuple[Bits, ...]] = {
    "Q4_0": _AT_THE_START, "Q4_1": _halves(0, 2), "Q5_0": _AT_THE_START, "Q5_1": _halves(0, 2), "Q8_0": _AT_THE_START,
    "Q2_K": _halves(80, 82), "Q3_K": _halves(108), "Q4_K": _halves(0, 2), "Q5_K": _halves(0, 2), "Q6_K": _halves(208),
    "IQ2_XXS": _AT_THE_START, "IQ2_XS": _AT_THE_START, "IQ2_S": _AT_THE_START, "IQ3_XXS": _AT_THE_START,
    "IQ3_S": _AT_THE_START, "IQ1_S": _AT_THE_START, "IQ4_NL": _AT_THE_START, "IQ4_XS": _AT_THE_START,
    "TQ1_0": _halves(52), "TQ2_0": _halves(64),
    # A float16 whose bits stand in the upper four of as many others.
    "IQ1_M": ([(53, 0xC0), (55, 0x70)],),
    # An exponent alone, e8m0, and four of e4m3 without a sign.
    "MXFP4": ([(0, 0xFF)],),
    "NVFP4": tuple([(place, 0x7F)] for place in range(4)),
}  # fmt: skip
"""For each scale of a type of block, how it is told that it isn't finite: all of these bits are set."""


def first_not_finite(blocks: torch.Tensor, kind: str) -> int | None:
    """The first of the blocks [n, bytes], uint8, of a type of which a scale isn't finite; None if all are."""
    for bits in _NOT_FINITE[kind]:
        hits = [blocks[:, place].bitwise_and(mask) == mask for place, mask in bits]
        hit = hits[0] if len(hits) == 1 else torch.stack(hits).all(0)  # [n]
        if hit.any():
            return int(hit.nonzero()[0])
    return None

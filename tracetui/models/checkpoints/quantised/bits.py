"""Small integers and 4-bit floats that stand packed in the words of a file."""

from __future__ import annotations

from collections.abc import Sequence

import torch

WORD_BITS = 32
FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)
"""What the codes of a 4-bit float e2m1 stand for."""
_HALF = 0xFFFFFFFF


def word_count(numbers: int, bits: int) -> int:
    """How many words of 32 bits hold so many numbers without a gap."""
    return -(-numbers * bits // WORD_BITS)


def bits_of(words: int, numbers: int, choices: Sequence[int]) -> int | None:
    """How many bits, of these choices, a number has of which so many are in these words; None if none fits.

    Without room to spare, if that can be; else of a size of which a word holds a whole number.
    """
    exact = (bits for bits in choices if numbers * bits == words * WORD_BITS)
    padded = (bits for bits in choices if not WORD_BITS % bits and word_count(numbers, bits) == words)
    return next(exact, next(padded, None))


def unpacked(words: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """The numbers [..., count] without sign in the rows [..., W] of int32 words, the lowest bits first.

    They follow each other without gaps: one may begin in a word and end in the next.
    """
    mask = (1 << bits) - 1
    if bits == 8:
        return words.contiguous().view(torch.uint8)[..., :count].int()
    if bits == 4:
        # By bytes, a quarter of what words of each number take.
        return nibbles(words.contiguous().view(torch.uint8))[..., :count].int()
    if WORD_BITS % bits == 0:
        shifts = torch.arange(0, WORD_BITS, bits, dtype=torch.int32)  # [32/bits]
        parts = (words.unsqueeze(-1) >> shifts) & mask  # [...,W,32/bits]
        return parts.flatten(-2)[..., :count]
    begins = torch.arange(count) * bits  # [count]
    wide = words.long() & _HALF  # [...,W]
    low = wide.index_select(-1, begins // WORD_BITS)  # [...,count]
    high = wide.index_select(-1, (begins // WORD_BITS + 1).clamp(max=words.shape[-1] - 1))
    return (((high << WORD_BITS | low) >> begins % WORD_BITS) & mask).int()


def nibbles(packed: torch.Tensor, high_first: bool = False) -> torch.Tensor:
    """The two codes [..., 2·n] in each byte of [..., n]."""
    low, high = packed & 15, packed >> 4
    pair = (high, low) if high_first else (low, high)
    return torch.stack(pair, dim=-1).flatten(-2)

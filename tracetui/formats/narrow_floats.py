"""Narrow floats that numpy lacks, from their bits to float32, which holds each of them exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def bfloat16(bits: Array) -> Array:
    """From uint16: the upper half of a float32."""
    return (np.asarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def rounded_bfloat16(values: Array) -> Array:
    """float32 numbers rounded to the nearest that bfloat16 has, of two the even one; NaN stays NaN."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded = ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.isnan(values), values, rounded)


def float8_e5m2(bits: Array) -> Array:
    """From uint8: the upper half of a float16."""
    return (np.asarray(bits).astype(np.uint16) << np.uint16(8)).view(np.float16).astype(np.float32)


def float8_e4m3(bits: Array) -> Array:
    """From uint8: bias 7, no infinities, one NaN of each sign. https://arxiv.org/abs/2209.05433, table 1"""
    return np.asarray(_E4M3[bits])


def float8_e8m0(bits: Array) -> Array:
    """From uint8: a power of two, or NaN."""
    return np.asarray(_E8M0[bits])


def _e4m3() -> Array:
    bits = np.arange(256)
    exponent, fraction = (bits >> 3) & 15, bits & 7
    size = np.where(exponent == 0, fraction / 8 * 2.0**-6, (1 + fraction / 8) * 2.0 ** (exponent - 7))
    signed = np.where(bits >= 128, -size, size)
    return np.where(bits & 127 == 127, np.nan, signed).astype(np.float32)


def _e8m0() -> Array:
    return np.append(np.ldexp(np.float32(1), np.arange(255) - 127), np.float32(np.nan))


_E4M3, _E8M0 = _e4m3(), _e8m0()

"""Tensors of which a log has but a few values, beside whole ones: what the log has is compared, and its sum."""

from __future__ import annotations

import math

import numpy as np

from tracetui.analysis.diff.alignment.align import Pair
from tracetui.analysis.mapping.layouts import SAME
from tracetui.formats.graph_log import DIGITS
from tracetui.recording.dumps.graph_log import PrintedValue, is_printed
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Value

_HALF_UNIT = 0.5000001 * 10.0**-DIGITS
_SUM_UNIT = 1e-6
_FLOAT32 = 2.0**-24
_TIMES = 8.0
"""By how much more than usual a sum may be off by chance."""
_TOLERANCE = 2e-5
"""Of every element, in units of all elements' root mean square."""


def beside(a: Array, b: Array) -> tuple[Array, Array]:
    """Both arrays, alike wherever one of them doesn't know, and apart by no more than a log's digits can't explain.

    Of equal shape; NaN stands for what isn't known.
    """
    a, b = (np.asarray(array, np.float64) for array in (a, b))
    known = np.where(np.isnan(b), np.where(np.isnan(a), 0.0, a), b)
    with np.errstate(invalid="ignore"):
        apart = np.sign(a - b) * np.maximum(np.abs(a - b) - _HALF_UNIT, 0.0)
    return known + np.where(np.isnan(apart), 0.0, apart), known


def sums_apart(pair: Pair, stored: tuple[Value, Value], compared: tuple[Value, Value]) -> str:
    """How a log's sum and a tensor's differ, in words; empty where rounding may have made the difference.

    stored: the pair's values; compared: those that were, laid out by rules and cut to what both sides have.
    """
    if pair.a.layout is not SAME or pair.b.layout is not SAME or all(map(is_printed, stored)):
        return ""
    printed, whole = (stored[0], compared[1]) if is_printed(stored[0]) else (stored[1], compared[0])
    assert isinstance(printed, PrintedValue)
    elements = np.asarray(whole.read(), np.float64).ravel()
    total, logged = float(elements.sum()), printed.printed.sum
    if elements.size != math.prod(printed.shape):
        return ""
    rms = math.sqrt(float(np.square(elements).mean())) if elements.size else 0.0
    reached = float(np.abs(np.cumsum(elements)).max()) if elements.size else 0.0
    by_chance = _TIMES * math.sqrt(elements.size) * (_FLOAT32 * reached + _TOLERANCE * rms)
    if not math.isfinite(total) or abs(total - logged) <= by_chance + _SUM_UNIT:
        return ""
    sums = f"its sum is {logged:.6g} in the log and {total:.6g} in the other"
    return f"{sums}: what differs is not among the values printed"


def is_log(trace: Trace) -> bool:
    """Whether a text log has told it."""
    return any(map(is_printed, trace.values[:1]))


def log_words(a: Trace, b: Trace) -> tuple[str, ...]:
    """What has to be said where a side is a log."""
    sides = [side for side, trace in (("A", a), ("B", b)) if is_log(trace)]
    ends = f"of each tensor the ends of its axes, to {DIGITS} decimals, and its sum are compared"
    return tuple(f"{side} is a log: {ends}; what cancels out isn't seen" for side in sides)

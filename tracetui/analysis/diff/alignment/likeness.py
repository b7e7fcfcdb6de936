"""Whether two tensors hold the same numbers but for rounding: what decides between ways to read a name."""

from __future__ import annotations

import numpy as np

from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.layouts import Layout, layouts
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, is_kept

_ALIKE = 0.02
"""|a - b|/|b| of two that are taken for the same: rounding of bfloat16 stays below it."""
_MOST = 1 << 22
"""Elements of a tensor that is read for it."""


def alike(a: Array, b: Array) -> bool:
    """Whether two arrays of as many elements hold the same numbers in the same order, and not zeros alone."""
    one, other = (np.asarray(array, np.float64).reshape(-1) for array in (a, b))
    if one.size != other.size or not other.size:
        return False
    size = float(np.linalg.norm(other))
    return bool(size > 0 and np.linalg.norm(one - other) <= _ALIKE * size)


def same_values(one: Named, other: Named, a: Trace, b: Trace) -> bool:
    """Whether two records of A and B, as they are laid out, hold the same numbers in some order of their axes."""
    x, y = numbers(a, one.record, one.layout), numbers(b, other.record, other.layout)
    return x is not None and y is not None and any(alike(x, way.apply(y)) for way in layouts(x.shape, y.shape))


def numbers(trace: Trace, record: Record, layout: Layout) -> Array | None:
    """A record's values as they are laid out; None where they weren't kept, are too many, or are no real numbers."""
    value = trace.value(record)
    if not is_kept(value) or not 0 < record.numel <= _MOST or record.dtype.startswith("complex"):
        return None
    return layout.apply(value.read())

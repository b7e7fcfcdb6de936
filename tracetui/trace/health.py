"""Whether a tensor's values are what they should be: finite, and far from their dtype's limit."""

from __future__ import annotations

from tracetui.trace.record import Record
from tracetui.trace.statistics import Statistics
from tracetui.trace.value import Value

HIDING = frozenset({"mask", "masked", "selection_scores"})
"""Roles in which -inf, or the lowest number of a dtype, says that something is hidden."""

LARGEST = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float8_e4m3fn": 448.0,
    "float8_e5m2": 57344.0,
}
"""The largest finite number of dtypes that overflow in practice."""


def all_finite(value: Value) -> bool:
    """Whether no element is NaN or infinite; a value that knows a cheaper way than its statistics has it itself."""
    quick = getattr(value, "all_finite", None)
    return bool(quick()) if quick is not None else value.statistics().finite


def may_hide(record: Record) -> bool:
    """Whether -inf in a record says that something is hidden: so it does too where somebody put it into scores."""
    return record.role in HIDING or (record.role == "scores" and record.edited)


def is_sound(record: Record, value: Value) -> bool:
    """Whether a record has no NaN, and no infinity but the -inf that hides something."""
    if all_finite(value):
        return True
    found = value.statistics()
    return not (found.nan or found.posinf or (found.neginf and not may_hide(record)))


def may_overflow(dtype: str, statistics: Statistics) -> bool:
    """Whether some element is within a factor of two of the dtype's largest number."""
    return dtype in LARGEST and statistics.absmax >= LARGEST[dtype] / 2

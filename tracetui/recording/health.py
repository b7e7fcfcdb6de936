"""Whether a tensor's values are what they should be: finite, and far from their dtype's limit."""

from __future__ import annotations

from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import Array, Value

HIDING = frozenset({"mask", "masked", "selection_scores"})
"""Roles in which -inf, or the lowest number of a dtype, says that something is hidden."""

LARGEST = {
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
    "float8_e4m3fn": 448.0,
    "float8_e5m2": 57344.0,
}
"""The largest finite number of dtypes that overflow in practice."""
_AT_ONCE = 2**20
"""Elements."""


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
    statistics = value.statistics()
    hides = may_hide(record) or _is_a_mask(statistics)
    return not (statistics.nan or statistics.posinf or (statistics.neginf and not hides))


def _is_a_mask(statistics: Statistics) -> bool:
    """Whether -inf stands beside nothing but zeros, as in what a module makes to be added to scores."""
    return statistics.absmax == 0 < statistics.zeros


def comes_near_limit(record: Record, statistics: Statistics) -> bool:
    """Whether a finite element is within a factor of two of its dtype's largest number, and not there to hide."""
    if record.dtype not in LARGEST or record.role in HIDING:
        return False
    return statistics.absmax >= LARGEST[record.dtype] / 2


def near_limit_share(record: Record, value: Value) -> float:
    """The share of such elements. Raises NotKeptError where there are some and the values were not kept.

    Elements are gone through only if the largest of them is one.
    """
    if not comes_near_limit(record, value.statistics()):
        return 0.0
    values: Array = value.read().reshape(-1)
    largest, near = LARGEST[record.dtype], 0
    for start in range(0, values.size, _AT_ONCE):
        sizes = abs(values[start : start + _AT_ONCE])
        near += int(((sizes >= largest / 2) & (sizes <= largest)).sum())
    return near / max(1, values.size)

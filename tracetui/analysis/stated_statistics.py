"""Whether the statistics that a trace file states are those of the values that it holds."""

from __future__ import annotations

import math
from dataclasses import fields

from tracetui.analysis.distribution.blocks import counted_statistics
from tracetui.errors import InputError
from tracetui.recording.npz.file_records import FileValue
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Value, is_kept
from tracetui.text import visible

_AT_ONCE = 1 << 22
_NEAR = 1e-4
"""Of the largest element: files are read whose statistics were taken by other means, in float32 too."""


def check_statistics(trace: Trace, where: str) -> str:
    """Read all values of a trace, and say in a line that the statistics beside them are theirs.

    Raises InputError naming the first record where they aren't.
    """
    same: dict[int, bool] = {}
    wrong: list[str] = []
    for record, value in zip(trace.records, trace.values, strict=True):
        if not is_kept(value):
            continue
        if id(value) not in same:
            same[id(value)] = _is_of(value.statistics(), value)
        if not same[id(value)]:
            wrong.append(record.key)
    if wrong:
        others = f" and of {len(wrong) - 1:,} other records" if len(wrong) > 1 else ""
        raise InputError(f"{where}: the statistics of {visible(wrong[0], 80)}{others} aren't those of the values")
    return f"statistics  of all {len(same):,} tensors with values right" if same else "statistics  without values"


def refuse_other_values(side: str, trace: Trace, key: str) -> None:
    """Raise InputError if a file's values of a record aren't those that its statistics were taken of.

    What such values show of the model means nothing. side: what the trace is called.
    """
    record = trace.find(key)
    value = None if record is None else trace.value(record)
    if isinstance(value, FileValue) and is_kept(value) and not _is_of(value.statistics(), value):
        raise InputError(
            f"{side}: {visible(key, 80)}: its values aren't those that the file's own statistics were taken of; the "
            f"file is damaged, or something else has written it: tracetui info --check {visible(str(value.path), 400)}"
        )


def _is_of(stated: Statistics, value: Value) -> bool:
    counted = counted_statistics(value, _AT_ONCE)
    near = {each.name: _NEAR * counted.absmax for each in fields(Statistics)} | {"l2": _NEAR * counted.l2}
    return all(_agree(getattr(stated, name), getattr(counted, name), most) for name, most in near.items())


def _agree(stated: float, counted: float, near: float) -> bool:
    if isinstance(counted, int):
        return stated == counted
    if math.isfinite(stated) and math.isfinite(counted):
        return abs(stated - counted) <= near
    return stated == counted or (math.isnan(stated) and math.isnan(counted))

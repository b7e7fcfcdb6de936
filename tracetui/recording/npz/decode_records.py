"""The records of a trace file's header, of the form already: what of it must go with the rest, and their statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tracetui.errors import InputError, bad_field
from tracetui.formats.npy import MAX_RANK, possible
from tracetui.formats.structs import Number, as_float
from tracetui.recording.npz.forms import RecordForm, StatisticsForm
from tracetui.recording.record import CALLERS
from tracetui.recording.statistics import Statistics, without_finite
from tracetui.text import visible


def check_records(forms: Sequence[RecordForm], where: str) -> None:
    """Raises InputError naming the first field whose value doesn't go with the others."""
    _check_shapes(forms, where)
    _check_inputs(forms, where)
    _check_statistics(forms, where)


def _check_shapes(forms: Sequence[RecordForm], where: str) -> None:
    for shape in {form.shape for form in forms}:
        if not possible(shape):
            index = next(index for index, form in enumerate(forms) if form.shape == shape)
            problem = f"must be one of at most {MAX_RANK} lengths and of a size that a file can have"
            raise bad_field(where, f"records[{index}].shape", problem, list(shape))


def _check_inputs(forms: Sequence[RecordForm], where: str) -> None:
    """What a record was made of came before it."""
    for index, form in enumerate(forms):
        if form.inputs and not (min(form.inputs) >= CALLERS and max(form.inputs) < index):
            place = next(place for place, number in enumerate(form.inputs) if not CALLERS <= number < index)
            raise not_whole(where, f"records[{index}].inputs[{place}]", CALLERS, index - 1, form.inputs[place])


def _check_statistics(forms: Sequence[RecordForm], where: str) -> None:
    for index, record in enumerate(forms):
        form = record.statistics
        if form.nan + form.posinf + form.neginf > form.numel or form.zeros > form.numel:
            raise _wrong_counts(form, where, f"records[{index}].statistics")


def _wrong_counts(form: StatisticsForm, where: str, name: str) -> InputError:
    for count in ("nan", "posinf", "neginf", "zeros"):
        if (number := getattr(form, count)) > form.numel:
            return not_whole(where, f"{name}.{count}", 0, form.numel, number)
    return bad_field(where, name, f"must not count more than its {form.numel:,} elements as NaN or infinite")


def statistics_of(form: StatisticsForm) -> Statistics:
    nan, posinf, neginf = form.nan, form.posinf, form.neginf
    l2, mean, std, low, high = form.l2, form.mean, form.std, form.min, form.max
    if type(l2) is type(mean) is type(std) is type(low) is type(high) is float and l2:
        return Statistics(form.numel, l2, mean, std, low, high, nan, posinf, neginf, form.zeros)
    if form.numel == nan + posinf + neginf and not any(map(optional_float, (l2, mean, std, low, high))):
        # Older files have zeros for what no finite element tells.
        return replace(without_finite(form.numel, nan, posinf, neginf), zeros=form.zeros)
    l2, mean, std, low, high = map(_float_or_nan, (l2, mean, std, low, high))
    return Statistics(form.numel, l2, mean, std, low, high, nan, posinf, neginf, form.zeros)


def _float_or_nan(number: Number | None) -> float:
    return math.nan if number is None else as_float(number)


def optional_float(number: Number | None) -> float | None:
    return None if number is None else as_float(number)


def not_whole(where: str, name: str, low: int, high: int, number: int) -> InputError:
    return bad_field(where, visible(name), f"must be a whole number from {low} to {high}", number)

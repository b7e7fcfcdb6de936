"""The records of a trace file's header, and their statistics, of the form already: ranges that hang on one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tracetui.errors import InputError, bad_field
from tracetui.formats.npy import MAX_RANK, possible
from tracetui.formats.structs import Number, as_float
from tracetui.recording.npz.forms import RecordForm, StatisticsForm
from tracetui.recording.record import CALLERS, Record
from tracetui.recording.statistics import Statistics, without_finite
from tracetui.text import visible


def decode_records(forms: Sequence[RecordForm], seconds: Sequence[float | None], where: str) -> tuple[Record, ...]:
    """Texts and shapes that many records have are one object."""
    _check_shapes(forms, where)
    _check_inputs(forms, where)
    text: dict[str, str] = {}
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
    return tuple(
        Record(
            index,
            text.setdefault(form.site, form.site),
            shapes.setdefault(form.shape, form.shape),
            text.setdefault(form.dtype, form.dtype),
            form.depth,
            text.setdefault(form.parent, form.parent),
            form.pass_,
            form.call,
            form.part,
            took,
            text.setdefault(form.provenance, form.provenance),
            form.edited or False,
            form.inputs or (),
        )
        for index, (form, took) in enumerate(zip(forms, seconds, strict=True))
    )


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


def decode_statistics(forms: Sequence[RecordForm], where: str) -> tuple[Statistics, ...]:
    statistics = [form.statistics for form in forms]
    for index, form in enumerate(statistics):
        if form.nan + form.posinf + form.neginf > form.numel or form.zeros > form.numel:
            raise _wrong_counts(form, where, f"records[{index}].statistics")
    return tuple(map(_statistics, statistics))


def _wrong_counts(form: StatisticsForm, where: str, name: str) -> InputError:
    for count in ("nan", "posinf", "neginf", "zeros"):
        if (number := getattr(form, count)) > form.numel:
            return not_whole(where, f"{name}.{count}", 0, form.numel, number)
    return bad_field(where, name, f"must not count more than its {form.numel:,} elements as NaN or infinite")


def _statistics(form: StatisticsForm) -> Statistics:
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

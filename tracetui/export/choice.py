"""Which tensor, or which part of one, a user means: `SITE` or `SITE[0, :, 2:4]`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tracetui.errors import InputError
from tracetui.recording.lookup import named, unknown
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import Index, is_kept
from tracetui.text import visible

_INTEGER = re.compile(r"-?\d{1,15}")
_SLICE = re.compile(r"(-?\d{1,15})?:(-?\d{1,15})?(?::([1-9]\d{0,14}))?")


@dataclass(frozen=True, slots=True)
class ChosenPart:
    """A record, and the part of its values that was asked for."""

    record: Record
    index: Index = ()
    """Empty for all."""


def chosen(trace: Trace, text: str, option: str) -> ChosenPart:
    """The record and part that `text` names. Raises InputError naming the option."""
    record = named(trace, text)
    if record is not None:
        return ChosenPart(_kept(trace, record, option))
    site, bracket, inner = text.rpartition("[")
    if not bracket or not text.endswith("]"):
        raise InputError(f"{option}: {unknown(trace, text)}")
    record = named(trace, site)
    if record is None:
        raise InputError(f"{option}: {unknown(trace, site)}")
    return ChosenPart(_kept(trace, record, option), _index(inner[:-1], record, option))


def _kept(trace: Trace, record: Record, option: str) -> Record:
    if not is_kept(trace.value(record)):
        raise InputError(f"{option}: {visible(record.key)}: only its statistics were kept")
    return record


def _index(text: str, record: Record, option: str) -> Index:
    """`0, :, 2:4` for a tensor; every integer within its axis."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > len(record.shape):
        raise InputError(f"{option}: [{visible(text, 80)}] has {len(parts)} parts, the shape is {list(record.shape)}")
    return tuple(_part(part, axis, record, option) for axis, part in enumerate(parts))


def _part(part: str, axis: int, record: Record, option: str) -> int | slice:
    length = record.shape[axis]
    if _INTEGER.fullmatch(part):
        place = int(part)
        if not -length <= place < length:
            raise InputError(f"{option}: axis {axis} of {visible(record.key)} has {length} places, not {place}")
        return place
    if bounds := _SLICE.fullmatch(part):
        return slice(*(None if number is None else int(number) for number in bounds.groups()))
    raise InputError(f"{option}: must be places and ranges like [0, :, 2:4], got {visible(part, 40)!r}")

"""Values of a file without statistics: those are computed from blocks of the tensor when asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tracetui.formats.zip_arrays import StoredArray
from tracetui.recording.npz.array_file import OpenArrays, StoredValue
from tracetui.recording.npz.writer import blocks
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics, merged, of_array
from tracetui.recording.trace import RunInfo, Trace
from tracetui.recording.value import Array, Decode, Index, Value

_WHEN = re.compile(r"([^@#]+(?:#\d{1,6})?)@(0|[1-9]\d{0,5})(?:\.([1-9]\d{0,5}))?")
"""A name with pass and call behind it, as a trace's own keys have them."""


class DumpValue(StoredValue):
    """A tensor of an open file; `decode` makes numbers of what numpy has no dtype for."""

    def __init__(self, file: OpenArrays, place: StoredArray, dtype: str, decode: Decode | None = None) -> None:
        super().__init__(file, place, dtype)
        self._decode = decode
        self._statistics: Statistics | None = None

    def read(self, index: Index = ()) -> Array:
        stored = super().read(index)
        return stored if self._decode is None else np.asarray(self._decode(stored))

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = merged(of_array(self.read(index)) for index in blocks(self.shape, 8))
        return self._statistics


@dataclass(frozen=True, eq=False, slots=True)
class NamedValue:
    """A tensor under the name that somebody gave it."""

    name: str
    value: Value


def dump_trace(tensors: Iterable[NamedValue], notes: tuple[str, ...] = ()) -> Trace:
    """Named tensors in the file's order as a trace: each name is taken for a site, `@2` behind it for its pass."""
    named = list(tensors)
    records = tuple(_record(index, tensor) for index, tensor in enumerate(named))
    return Trace(RunInfo(notes=notes), (), records, tuple(tensor.value for tensor in named), {}, dump=True)


def _record(index: int, tensor: NamedValue) -> Record:
    timed = _WHEN.fullmatch(tensor.name)
    site = timed[1] if timed else tensor.name
    return Record(
        index=index,
        site=site,
        shape=tensor.value.shape,
        dtype=tensor.value.dtype,
        depth=site.count("."),
        parent=site.rpartition(".")[0],
        pass_=int(timed[2]) if timed else 0,
        call=int(timed[3] or 0) if timed else 0,
    )

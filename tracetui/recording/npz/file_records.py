"""The records of a trace file, and their statistics, each made when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import overload

from msgspec import UnsetType

from tracetui.formats.zip_arrays import StoredArray
from tracetui.recording.npz.array_file import ArrayFile, StoredValue
from tracetui.recording.npz.decode_records import statistics_of
from tracetui.recording.npz.forms import RecordForm, StatisticsForm
from tracetui.recording.parallel import WHOLE, Place
from tracetui.recording.record import Record, record_of
from tracetui.recording.statistics import Statistics
from tracetui.recording.value import StatisticsValue


class FileRecords(Sequence[Record]):
    """Records over checked forms. Safe to use from any thread: a record is made once."""

    def __init__(
        self, forms: Sequence[RecordForm], seconds: Sequence[float | None], places: Sequence[Place] = ()
    ) -> None:
        self._forms = forms
        self._seconds = seconds
        self._places = places
        self._made: list[Record | None] = [None] * len(forms)
        self._all: tuple[Record, ...] | None = None
        self._texts: dict[str, str] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Record, ...]: ...

    def __getitem__(self, index: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(index, slice) or self._all is not None:
            return self._every()[index]
        made = self._made[index]
        if made is None:
            with self._lock:
                made = self._make(index % len(self._made))
        return made

    def __iter__(self) -> Iterator[Record]:
        return iter(self._every())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._every() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def _every(self) -> tuple[Record, ...]:
        if (every := self._all) is None:
            with self._lock:
                every = self._all = tuple(map(self._make, range(len(self._made))))
                # What they were made of is needed no more.
                self._forms, self._seconds = (), ()
        return every

    def _make(self, index: int) -> Record:
        """Texts that many records have are one object."""
        if (made := self._made[index]) is not None:
            return made
        form, text = self._forms[index], self._texts.setdefault
        made = self._made[index] = record_of(
            index,
            text(form.site, form.site),
            form.shape,
            text(form.dtype, form.dtype),
            form.depth,
            text(form.parent, form.parent),
            form.pass_,
            form.call,
            form.part,
            self._seconds[index],
            text(form.provenance, form.provenance),
            form.edited or False,
            form.inputs or (),
            WHOLE if isinstance(form.place, UnsetType) else self._places[form.place],
        )
        return made


class FileValue(StoredValue):
    """A value in a trace file, with the statistics that the file gives for it."""

    __slots__ = ("_form", "_statistics")

    def __init__(self, file: ArrayFile, place: StoredArray, dtype: str, statistics: StatisticsForm) -> None:
        super().__init__(file, place, dtype)
        self._form = statistics
        self._statistics: Statistics | None = None

    def statistics(self) -> Statistics:
        if self._statistics is None:
            self._statistics = statistics_of(self._form)
        return self._statistics


class FileStatistics(StatisticsValue):
    """The same of values that the file doesn't have."""

    __slots__ = ("_form", "_made")

    def __init__(self, shape: tuple[int, ...], dtype: str, statistics: StatisticsForm) -> None:
        self._shape = shape
        self._dtype = dtype
        self._form = statistics
        self._made: Statistics | None = None

    def statistics(self) -> Statistics:
        if self._made is None:
            self._made = statistics_of(self._form)
        return self._made

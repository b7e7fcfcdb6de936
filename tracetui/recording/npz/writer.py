"""Writes a trace as an npz file, one block of values in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path

import numpy as np

from tracetui.errors import RunError
from tracetui.formats.limits import MAX_RECORDS, too_large
from tracetui.formats.npy import npy_header, stored_as
from tracetui.formats.zip_writer import ZipWriter
from tracetui.paths import replacing
from tracetui.recording.npz.encode import encode_header, encode_timing
from tracetui.recording.npz.names import HEADER, TIMING, MemberNames
from tracetui.recording.record import Record
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace
from tracetui.recording.value import Index, Value, is_kept
from tracetui.text import visible

LOGITS = "logits"
OnProgress = Callable[[int, int], None]
_BLOCK = 4 << 20
"""Bytes read from a value at a time."""


@dataclass(frozen=True, eq=False, slots=True)
class _Array:
    """One array to store: a value, and the record under whose key it lies."""

    record: Record
    value: Value

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return stored_as(self.record.dtype)

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * prod(self.value.shape)


class _NotStorableError(Exception):
    """The trace itself has no place in a file; the text says what of it."""


def write_trace(trace: Trace, path: Path, progress: OnProgress | None = None, compress: bool = False) -> int:
    """Write `trace` in format 1 in place of `path`; returns the file's size in bytes.

    compress: deflate values, which makes them slower to write and to open.
    `progress` hears how many bytes of values of how many are written, and may raise to give up.
    Raises RunError if it can't be written; whatever is raised, the old file is as it was.
    """
    try:
        return _write(trace.closed(), path, progress, compress)
    except OSError as error:
        raise RunError(f"{path}: can't be written: {error.strerror or error}") from error
    except _NotStorableError as error:
        raise RunError(f"{path}: can't be written: {error}") from error


def _write(trace: Trace, path: Path, progress: OnProgress | None, compress: bool) -> int:
    if len(trace.records) > MAX_RECORDS:
        raise _NotStorableError(f"more than {MAX_RECORDS:,} records, got {len(trace.records):,}; keep fewer sites")
    arrays = _stored_arrays(trace)
    names = _member_names(arrays)
    with replacing(path) as file:
        archive = ZipWriter(file)
        meter = _WriteMeter(progress, sum(array.nbytes for array in arrays.values()))
        for identity, array in arrays.items():
            head = npy_header(array.dtype, array.value.shape)
            content: Iterable[bytes | memoryview] = chain((head,), meter.through(array))
            archive.add(f"{names[identity]}.npy", len(head) + array.nbytes, content, compress)
        _add_json(archive, HEADER, _header(trace, names, meter))
        _add_json(archive, TIMING, encode_timing(trace))
        return archive.finish()


def _stored_arrays(trace: Trace) -> dict[int, _Array]:
    """The kept values, each once, by identity; under the first of its records or the one that is the logits."""
    arrays: dict[int, _Array] = {}
    for record, value in zip(trace.records, trace.values, strict=True):
        if value.shape != record.shape:
            raise _NotStorableError(
                f"{visible(record.key)}: the record's shape is {record.shape}, its values' {value.shape}"
            )
        known = arrays.get(id(value))
        owns = is_kept(value) if known is None else record.site == LOGITS != known.record.site
        if owns:
            arrays[id(value)] = _Array(record, value)
    return arrays


def _member_names(arrays: Mapping[int, _Array]) -> dict[int, str]:
    members = MemberNames()
    return {identity: members.name(array.record.key, array.record.index) for identity, array in arrays.items()}


def _header(trace: Trace, names: Mapping[int, str], meter: _WriteMeter) -> bytes:
    known: dict[int, Statistics] = {}
    for value in trace.values:
        if id(value) not in known:
            known[id(value)] = value.statistics()
            meter.tell()
    keys = [names.get(id(value)) for value in trace.values]
    document = encode_header(trace, [known[id(value)] for value in trace.values], keys)
    if problem := too_large(document, "records"):
        raise _NotStorableError(f"the header {problem}; keep fewer sites")
    return document


def _add_json(archive: ZipWriter, name: str, document: bytes) -> None:
    head = npy_header(stored_as("uint8"), (len(document),))
    archive.add(f"{name}.npy", len(head) + len(document), (head, document))


class _WriteMeter:
    """Tells `progress` how much of `total` has gone through."""

    def __init__(self, progress: OnProgress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def through(self, array: _Array) -> Iterator[memoryview]:
        for block in _content(array):
            yield block
            self._done += len(block)
            self.tell()

    def tell(self) -> None:
        """How far it is; whoever hears it may give up."""
        if self._progress is not None:
            self._progress(self._done, self._total)


def _content(array: _Array) -> Iterator[memoryview]:
    """The values' bytes in C order, read block by block."""
    for index in blocks(array.value.shape, array.dtype.itemsize):
        part = np.ascontiguousarray(array.value.read(index))
        if part.dtype.newbyteorder("<") != array.dtype:
            own = f"{array.record.dtype} is stored as {array.dtype}"
            raise _NotStorableError(f"{visible(array.record.key)}: {visible(own)}, its values are {part.dtype}")
        yield part.astype(array.dtype, copy=False).reshape(-1).view(np.uint8).data


def blocks(shape: tuple[int, ...], itemsize: int, limit: int = _BLOCK) -> Iterator[Index]:
    """Indices that cut an array into parts of at most `limit` bytes, in C order; none if it is empty."""
    row = itemsize * prod(shape[1:])
    if not shape or row * shape[0] <= limit:
        if 0 not in shape:
            yield ()
    elif row <= limit:
        rows = limit // row
        for start in range(0, shape[0], rows):
            yield (slice(start, min(start + rows, shape[0])),)
    else:
        for first in range(shape[0]):
            for rest in blocks(shape[1:], itemsize, limit):
                yield (first, *rest)

"""Opens trace files, which may come from anybody: all that numpy will be told is checked before."""

from __future__ import annotations

from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.formats.npy import stored_as
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray, locate_all, read_document
from tracetui.formats.zip_directory import Directory, read_directory
from tracetui.paths import open_regular, refuse_disguised
from tracetui.recording.npz.array_file import ArrayFile, FileValue
from tracetui.recording.npz.decode import TraceHeader, decode_header, decode_timing
from tracetui.recording.npz.names import HEADER, TIMING, is_safe
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.recording.value import StatisticsValue, Value


def read_trace(path: Path) -> Trace:
    """The trace in a file of format 1, each of its values read when it is asked for.

    Raises InputError naming the file, and the member or field that is wrong, and FileChangedError for one that is being
    written. Checksums of values aren't looked at.
    """
    with open_regular(path) as file:
        source = Source(path, file)
        refuse_disguised(path, source.read(0, min(32, source.size)))
        directory = read_directory(source, is_safe)
        header = _read_header(source, directory)
        arrays = locate_all(source, directory)
        values_file = ArrayFile(source)
    return Trace(
        run=header.run,
        tokens=header.tokens,
        generated=header.generated,
        cache=header.cache,
        records=header.records,
        values=_values(header, arrays, values_file),
        attention=header.attention,
        vocabulary=header.vocabulary,
        complete=header.complete,
        outline=header.outline,
        bad_weights=header.bad_weights,
    )


def _read_header(source: Source, directory: Directory) -> TraceHeader:
    members = {member.name: member for member in directory.members}
    documents: list[bytes] = []
    for name in (HEADER, TIMING):
        if f"{name}.npy" not in members:
            raise source.wrong("is missing: an npz file, but no trace of tracetui's", name)
        documents.append(read_document(source, members[f"{name}.npy"]))
    timing = decode_timing(documents[1], f"{source.path}: {TIMING}")
    return decode_header(documents[0], f"{source.path}: {HEADER}", timing)


def _values(header: TraceHeader, arrays: dict[str, StoredArray], file: ArrayFile) -> tuple[Value, ...]:
    """Parallel to the records; those with the same key have one and the same value."""
    values: list[Value] = []
    known: dict[str, Value] = {}
    for record, statistics, key in zip(header.records, header.statistics, header.keys, strict=True):
        if key is None:
            values.append(StatisticsValue(record.shape, record.dtype, statistics))
            continue
        place = arrays.get(key)
        if place is None or place.shape != record.shape or place.dtype != stored_as(record.dtype):
            raise _wrong_key(record, key, place, file.path)
        value = known.get(key)
        if value is None:
            value = known[key] = FileValue(file, place, record.dtype, statistics)
        values.append(value)
    return tuple(values)


def _wrong_key(record: Record, key: str, place: StoredArray | None, path: Path) -> InputError:
    if place is None:
        problem = "must be the name of an array in the file, or null"
    elif place.shape != record.shape:
        problem = f"names an array of shape {place.shape}, the record's is {record.shape}"
    else:
        problem = f"names an array of {place.dtype}, the record's dtype is stored as {stored_as(record.dtype)}"
    return bad_field(f"{path}: {HEADER}", f"records[{record.index}].key", problem, key)

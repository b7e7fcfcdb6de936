"""Opens trace files, which may come from anybody: all that numpy will be told is checked before."""

from __future__ import annotations

from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.formats.npy import stored_as
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray, locate_all, read_document
from tracetui.formats.zip_directory import Directory, read_directory
from tracetui.paths import open_regular, refuse_disguised
from tracetui.recording.npz.array_file import ArrayFile
from tracetui.recording.npz.decode import TraceHeader, decode_header, decode_timing
from tracetui.recording.npz.file_records import FileRecords, FileStatistics, FileValue
from tracetui.recording.npz.forms import RecordForm
from tracetui.recording.npz.names import HEADER, TIMING, is_safe
from tracetui.recording.trace import Trace
from tracetui.recording.value import Value


def read_trace(path: Path, header_limit: int | None = None) -> Trace:
    """The trace in a file of format 1, each of its values read when it is asked for.

    header_limit: of its JSON, in bytes, for whoever can't wait: reading takes as long as that is.
    Raises InputError naming the file, and the member or field that is wrong, and FileChangedError for one that is being
    written. Checksums of values aren't looked at.
    """
    with open_regular(path) as file:
        source = Source(path, file)
        refuse_disguised(path, source.read(0, min(512, source.size)))
        directory = read_directory(source, is_safe)
        header = _read_header(source, directory, header_limit)
        arrays = locate_all(source, directory)
        values_file = ArrayFile(source)
    return Trace(
        run=header.run,
        tokens=header.tokens,
        generated=header.generated,
        cache=header.cache,
        records=FileRecords(header.records, header.seconds, header.places),
        values=_values(header, arrays, values_file),
        attention=header.attention,
        vocabulary=header.vocabulary,
        complete=header.complete,
        outline=header.outline,
        bad_weights=header.bad_weights,
        weights=header.weights,
        dump=header.dump,
        pieces=header.pieces,
        unlike_replicas=header.unlike_replicas,
    )


def _read_header(source: Source, directory: Directory, limit: int | None) -> TraceHeader:
    members = {member.name: member for member in directory.members}
    documents: list[bytes] = []
    for name in (HEADER, TIMING):
        if f"{name}.npy" not in members:
            raise source.wrong("is missing: an npz file, but no trace of tracetui's", name)
        if limit is not None and (size := members[f"{name}.npy"].size) > limit:
            raise source.wrong(f"is longer than {limit:,} bytes, got {size:,}", name)
        documents.append(read_document(source, members[f"{name}.npy"]))
    timing = decode_timing(documents[1], f"{source.path}: {TIMING}")
    return decode_header(documents[0], f"{source.path}: {HEADER}", timing)


def _values(header: TraceHeader, arrays: dict[str, StoredArray], file: ArrayFile) -> tuple[Value, ...]:
    """Parallel to the records; those with the same key have one and the same value."""
    values: list[Value] = []
    known: dict[str, Value] = {}
    for index, form in enumerate(header.records):
        key, shape, dtype = form.key, form.shape, form.dtype
        if key is None:
            values.append(FileStatistics(shape, dtype, form.statistics))
            continue
        place = arrays.get(key)
        if place is None or place.shape != shape or place.dtype != stored_as(dtype):
            raise _wrong_key(f"records[{index}].key", form, place, file.path)
        value = known.get(key)
        if value is None:
            value = known[key] = FileValue(file, place, dtype, form.statistics)
        values.append(value)
    return tuple(values)


def _wrong_key(name: str, form: RecordForm, place: StoredArray | None, path: Path) -> InputError:
    if place is None:
        problem = "must be the name of an array in the file, or null"
    elif place.shape != form.shape:
        problem = f"names an array of shape {place.shape}, the record's is {form.shape}"
    else:
        problem = f"names an array of {place.dtype}, the record's dtype is stored as {stored_as(form.dtype)}"
    return bad_field(f"{path}: {HEADER}", name, problem, form.key)

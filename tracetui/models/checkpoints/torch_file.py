"""A torch.save file: where each of its tensors lies, none of them read yet.

torch.load is not used. It would trust the directory, and its map of the whole file counts as memory that the
program may fill, which the system refuses for files larger than the machine: just those of which a few layers
are wanted. As the readers beside this module know where every tensor lies, no unpickler is needed either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.torch_pickle import MAX_PICKLE_BYTES, TensorLayout, read_layouts
from tracetui.models.checkpoints.torch_zip import StoredRecord, read_records
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile
from tracetui.paths import open_regular
from tracetui.text import visible

_BYTE_ORDER_BYTES = 6


def stored_tensors(file: WeightFile) -> dict[str, StoredTensor]:
    """The tensors of a file that holds a flat state dict, in the file's own names.

    Raises InputError reading `file: tensor: problem, got …` for a file that is not what torch.save makes.
    """
    path = file.path
    records = read_records(path)
    _check_byte_order(path, records)
    layouts = read_layouts(_read(path, records, "data.pkl", MAX_PICKLE_BYTES), path)
    for name, layout in layouts.items():
        _check_record(path, name, layout, records)
    return {name: _window(file, layout, records[layout.storage.record].start) for name, layout in layouts.items()}


def _check_byte_order(path: Path, records: Mapping[str, StoredRecord]) -> None:
    """Files from before torch 2.1 don't say; they are little, as nearly every machine is."""
    if "byteorder" in records and (order := _read(path, records, "byteorder", _BYTE_ORDER_BYTES)) != b"little":
        raise bad_field(path, "byteorder", "must be little", order)


def _read(path: Path, records: Mapping[str, StoredRecord], name: str, limit: int) -> bytes:
    record = records.get(name)
    if record is None or record.size > limit:
        problem = "is missing" if record is None else f"has {record.size:,} bytes, at most {limit:,} are read"
        raise InputError(f"{path}: {name}: {problem}")
    with open_regular(path) as file:
        file.seek(record.start)
        return file.read(record.size)


def _check_record(path: Path, name: str, layout: TensorLayout, records: Mapping[str, StoredRecord]) -> None:
    storage = layout.storage
    name_text, record_shown = visible(name, 80), visible(storage.record, 60)
    record = records.get(storage.record)
    if record is None:
        raise InputError(f"{path}: {name_text}: its record {record_shown} is missing")
    if record.size != storage.nbytes:
        problem = f"its record {record_shown} must have {storage.nbytes:,} bytes, got {record.size:,}"
        raise bad_field(path, name_text, problem)


def _window(file: WeightFile, layout: TensorLayout, start: int) -> StoredTensor:
    dtype = getattr(torch, layout.dtype)
    return StoredTensor(file, dtype, layout.shape, start + layout.offset * dtype.itemsize, layout.strides)

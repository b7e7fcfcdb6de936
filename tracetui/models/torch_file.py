"""A torch.save file mapped into memory: every tensor a view of the file, none of them read yet."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.torch_pickle import MAX_PICKLE_BYTES, TensorLayout, read_layouts
from tracetui.models.torch_zip import StoredRecord, read_directory
from tracetui.paths import open_regular
from tracetui.text import visible

_BYTE_ORDER_BYTES = 6


def map_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that holds a flat state dict, in the file's own names.

    Where everything lies is read and checked by ourselves first; then torch maps the file, and what it made
    must be what was checked. Raises InputError reading `file: tensor: problem, got …`.
    """
    records = read_directory(path)
    _check_byte_order(path, records)
    layouts = read_layouts(_read(path, records, "data.pkl", MAX_PICKLE_BYTES), path)
    for name, layout in layouts.items():
        _check_record(path, name, layout, records)
    tensors = _map(path)
    _check_mapped(path, tensors, layouts, records)
    return tensors


def _check_byte_order(path: Path, records: Mapping[str, StoredRecord]) -> None:
    """Files from before torch 2.1 don't say; torch takes them for little, as nearly every machine is."""
    if "byteorder" in records and (said := _read(path, records, "byteorder", _BYTE_ORDER_BYTES)) != b"little":
        raise bad_field(path, "byteorder", "must be little", said)


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
    shown = visible(name, 80)
    record = records.get(storage.record)
    if record is None:
        raise InputError(f"{path}: {shown}: its record {visible(storage.record, 60)} is missing")
    if record.size != storage.nbytes:
        raise bad_field(
            path, shown, f"its record {storage.record} must have {storage.nbytes:,} bytes, got {record.size:,}"
        )


def _map(path: Path) -> dict[str, torch.Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found: dict[str, torch.Tensor] = torch.load(str(path), map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:
        # Its text is left out: it advises to load the file unsafely.
        raise InputError(f"{path}: torch refuses to map it ({type(error).__name__})") from None
    return found


def _check_mapped(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    layouts: Mapping[str, TensorLayout],
    records: Mapping[str, StoredRecord],
) -> None:
    """Every tensor is the window that was checked, and all lie as far apart in memory as in the file."""
    bases = set()
    sound = tensors.keys() == layouts.keys()
    for name, layout in layouts.items():
        tensor = tensors.get(name)
        sound = sound and isinstance(tensor, torch.Tensor) and _window(tensor) == _expected(layout)
        if sound and tensor is not None and layout.storage.nbytes:
            bases.add(tensor.untyped_storage().data_ptr() - records[layout.storage.record].start)
    if not sound or len(bases) > 1:
        raise InputError(f"{path}: torch finds other tensors in it than its directory describes")


def _window(tensor: torch.Tensor) -> tuple[object, ...]:
    nbytes = tensor.untyped_storage().nbytes()
    return tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.storage_offset(), nbytes


def _expected(layout: TensorLayout) -> tuple[object, ...]:
    dtype = getattr(torch, layout.dtype)
    return dtype, layout.shape, layout.strides, layout.offset, layout.storage.nbytes

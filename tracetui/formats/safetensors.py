"""The header of a safetensors file, checked against the file before any of it is read.

The format: 8 bytes with the header's length, a JSON header naming each tensor's dtype, shape and bytes, then those
bytes without gaps. https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod
from operator import itemgetter
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tracetui.errors import InputError, bad_field
from tracetui.formats.collector import collector_paused
from tracetui.formats.json_keys import key_count
from tracetui.formats.json_text import SizeError, check_count, parse_json_object
from tracetui.text import visible

MAX_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8
"""Before the header, with its length."""
ITEM_SIZES: Mapping[str, int] = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
    "C64": 8,
    "BOOL": 1,
    **{f"{kind}{8 * size}": size for kind in "IU" for size in (1, 2, 4, 8)},
}
"""Bytes of an element, by the format's name of a dtype."""
_MAX_RANK = 16
_MOST_METADATA = 1_000_000
"""Colons in it, which somebody's own texts may have too."""
_MAX_NAME = 512
_MAX_PARTS = 64
"""Of a name, between dots: to find out where it stands in a model takes a step for each."""
_MAX_SIZE = 2**53
_ALIGNMENT = 8
_METADATA = "__metadata__"

Size = Annotated[int, Meta(ge=0, le=_MAX_SIZE)]


class TensorPlace(NamedTuple):
    """One tensor of a file, and where its bytes lie, counted from the file's first."""

    dtype: str
    """As the format calls it: `BF16`."""
    shape: tuple[int, ...]
    start: int
    stop: int


class _TensorForm(Struct, gc=False):
    """Of the metadata nothing is there."""

    dtype: str | UnsetType = UNSET
    shape: tuple[Size, ...] | UnsetType = UNSET
    data_offsets: tuple[Size, Size] | UnsetType = UNSET


class _MetadataForm(Struct, rename={"metadata": _METADATA}):
    metadata: dict[str, str] | UnsetType = UNSET


_TENSORS = msgspec.json.Decoder(dict[str, _TensorForm])
_FILE = msgspec.json.Decoder(_MetadataForm)


def header_length(path: Path, size: int, start: bytes) -> int:
    """The length of the header, from the first bytes of a file of `size` bytes. Raises InputError if it has no room."""
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if size < LENGTH_BYTES + 2:
        raise InputError(f"{path}: is cut short or no safetensors file: it has {size} bytes")
    if length > MAX_HEADER_BYTES:
        problem = f"at most {MAX_HEADER_BYTES:,} bytes are read; is this a safetensors file?"
        raise bad_field(path, "header", problem, length)
    if LENGTH_BYTES + length > size:
        raise InputError(f"{path}: header: has {length:,} bytes by its length, and the file ends after {size:,}")
    return length


def parse_header(path: Path, content: bytes, size: int, most: int) -> dict[str, TensorPlace]:
    """The tensors that a header's JSON text names, in the order of their bytes.

    Raises InputError as `parse_places` does.
    """
    places = parse_places(path, content, size, most)
    return {name: TensorPlace(dtype, shape, start, stop) for name, dtype, shape, start, stop in places}


Place = tuple[str, str, tuple[int, ...], int, int]
"""A tensor's name, dtype and shape, and the file's bytes where it begins and ends."""


def parse_places(path: Path, content: bytes, size: int, most: int) -> list[Place]:
    """The tensors that a header's JSON text names, in the order of their bytes.

    Raises InputError reading `file: tensor: problem, got …` for more than `most` of them, and where they don't fill the
    rest of a file of `size` bytes.
    """
    try:
        check_count(content)
    except SizeError as error:
        raise InputError(f"{path}: header: {error}") from None
    if content.count(b":") > (most_keys := 4 * most + _MOST_METADATA):
        raise InputError(f"{path}: header: holds more than {most_keys:,} names, four for each tensor")
    with collector_paused():
        return _places(path, content, size, most)


def _places(path: Path, content: bytes, size: int, most: int) -> list[Place]:
    first = LENGTH_BYTES + len(content)
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    tensors: list[Place] = []
    for name, dtype, shape, begin, end in _entries(path, content, most):
        if (byte_count := sizes.get((dtype, shape))) is None:
            _check_shape(path, name, dtype, shape)
            byte_count = sizes[dtype, shape] = prod(shape) * ITEM_SIZES[dtype]
        if len(name) >= _MAX_PARTS and (len(name) > _MAX_NAME or name.count(".") >= _MAX_PARTS):
            problem = f"must have at most {_MAX_NAME} characters and {_MAX_PARTS} parts"
            raise bad_field(path, visible(name, 80), problem, f"{len(name):,} and {name.count('.') + 1:,}")
        if end - begin != byte_count:
            problem = f"data_offsets: {dtype} of the shape {list(shape)} has {byte_count:,} bytes"
            raise bad_field(path, visible(name, 80), problem, [begin, end])
        tensors.append((name, dtype, shape, first + begin, first + end))
    tensors.sort(key=itemgetter(3, 4))
    _check_order(path, tensors, first, size)
    return tensors


def make_header(tensors: Iterable[tuple[str, str, Sequence[int]]]) -> bytes:
    """The first bytes of a file that holds tensors of these names, dtypes and shapes one after another."""
    entries, at = {}, 0
    for name, dtype, shape in tensors:
        stop = at + prod(shape) * ITEM_SIZES[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, stop]}
        at = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


_Entry = Place
"""The same, counted from the header's end."""


def _entries(path: Path, content: bytes, most: int) -> Iterable[_Entry]:
    """Of the form already; fast where everything is as it should be, else with words for what isn't."""
    if content.count(b"{") <= most + 2 and (entries := _entries_at_once(content)) is not None:
        return entries
    return _entries_one_by_one(path, content, most)


def _entries_at_once(content: bytes) -> list[_Entry] | None:
    """None where anything is wrong, or can't be told."""
    try:
        forms, metadata = _TENSORS.decode(content), _FILE.decode(content).metadata
        has_each_once = key_count(content) == 4 * len(forms) + (len(metadata) - 3 if metadata is not UNSET else 0)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    forms.pop(_METADATA, None)
    entries: list[_Entry] = []
    for name, form in forms.items():
        dtype, shape, offsets = form.dtype, form.shape, form.data_offsets
        if dtype is UNSET or shape is UNSET or offsets is UNSET or dtype not in ITEM_SIZES:
            return None
        entries.append((name, dtype, shape, *offsets))
    return entries if has_each_once else None


def _entries_one_by_one(path: Path, content: bytes, most: int) -> Iterator[_Entry]:
    header = parse_json_object(content, path, most + 2)
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise bad_field(path, _METADATA, "must be a table of texts", metadata)
    for name, entry in header.items():
        yield _entry(path, name, entry)


def _entry(path: Path, name: str, entry: object) -> _Entry:
    def fail(problem: str, value: object) -> NoReturn:
        raise bad_field(path, visible(name, 80), problem, value)

    if not isinstance(entry, Mapping):
        fail("must be a table with dtype, shape and data_offsets", entry)
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        fail("dtype: is none that tracetui knows", dtype)
    if not isinstance(shape, list) or not all(map(_is_size, shape)):
        fail("shape: must be a list of sizes", shape)
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        fail("data_offsets: must be where its bytes begin and end", offsets)
    return name, dtype, tuple(shape), offsets[0], offsets[1]


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_SIZE


def _check_shape(path: Path, name: str, dtype: str, shape: tuple[int, ...]) -> None:
    if len(shape) > _MAX_RANK:
        raise bad_field(path, visible(name, 80), f"shape: must have at most {_MAX_RANK} axes", len(shape))
    if prod(max(1, length) for length in shape) > _MAX_SIZE:
        raise bad_field(path, visible(name, 80), "shape: is larger than any file", list(shape))


def _check_order(path: Path, tensors: Iterable[Place], first: int, size: int) -> None:
    """Refuse bytes that belong to two tensors or to none: a file that is longer or shorter than its header says."""
    at = first
    for name, _, _, start, stop in tensors:
        if start != at:
            before = "the header" if at == first else "the tensor before it"
            problem = f"data_offsets: must begin at {at - first:,}, where {before} ends"
            raise bad_field(path, visible(name, 80), problem, start - first)
        at = stop
    if at != size:
        kind = "is cut short" if at > size else "has bytes that belong to no tensor"
        raise InputError(f"{path}: {kind}: by its header it has {at:,} bytes, got {size:,}")

"""A model's GGUF files: one, or several of which the first has the metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracetui.errors import InputError, bad_field
from tracetui.file_kinds import GGUF_SUFFIX
from tracetui.formats.gguf.header import GgufHeader, GgufTensor, read_header
from tracetui.formats.gguf.metadata import Metadata
from tracetui.paths import inside, open_regular
from tracetui.text import visible

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
_MAX_FILES = 1000
_VECTOR_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8"}
_MAX_VECTOR = 2**16
"""Elements."""


@dataclass(frozen=True, eq=False, slots=True)
class GgufFiles:
    """All headers of a model."""

    headers: tuple[GgufHeader, ...]
    """Of the files that are there; the first has the metadata."""
    missing: tuple[str, ...]
    """The names of the others that there should be."""
    tensors: Mapping[str, GgufTensor]
    path_of: Mapping[str, Path]
    """The file that each tensor stands in."""

    @property
    def path(self) -> Path:
        """The first file, by which the model is called."""
        return self.headers[0].path

    @property
    def metadata(self) -> Metadata:
        return self.headers[0].metadata

    @property
    def architecture(self) -> str:
        return self.headers[0].architecture

    def vector(self, name: str) -> npt.NDArray[np.float64]:
        """The values of a tensor with few elements, such as frequencies. Raises InputError for another one."""
        path, place = self.path_of[name], self.tensors[name]
        if place.type.name not in _VECTOR_TYPES or (place.stop - place.start) > 8 * _MAX_VECTOR:
            raise bad_field(path, visible(name, 80), "must be a short list of numbers of type F32", place.type.name)
        with open_regular(path) as file:
            file.seek(place.start)
            content = file.read(place.stop - place.start)
        if len(content) != place.stop - place.start:
            raise bad_field(path, visible(name, 80), "the file was cut short while it was read")
        return np.frombuffer(content, _VECTOR_TYPES[place.type.name]).astype(np.float64)


def first_file(path: Path) -> Path:
    """The file with the metadata, whichever of several is named."""
    match = _SPLIT.fullmatch(path.name)
    return path if match is None else path.with_name(f"{match['stem']}-00001-of-{match['count']}{GGUF_SUFFIX}")


def read_files(path: Path) -> GgufFiles:
    """The headers of a model's file, or of all files that it is split into; `path` is any of them.

    Raises InputError for a file that is not what it should be, and where the first of several isn't there.
    """
    first_path = first_file(path)
    if first_path != path and path.exists() and not first_path.exists():
        problem = f"is missing, and {visible(path.name, 80)} is read only with it: it says what the model is"
        raise InputError(f"{first_path}: {problem}")
    header = read_header(first_path)
    count = header.metadata.integer("split.count") or 1
    names = list(_names(header.path, count))
    # The first is what somebody named, wherever it leads.
    folder, first = header.path.parent, header.path.name
    there = [name for name in names if name == first or inside(folder, name).exists()]
    others = [read_header(folder / name) for name in there if name != first]
    headers = (header, *others)
    _check_split(headers, names)
    return GgufFiles(headers, tuple(name for name in names if name not in there), *_together(headers))


def _names(path: Path, count: int) -> Iterator[str]:
    """What the files are called."""
    if count == 1:
        yield path.name
        return
    match = _SPLIT.fullmatch(path.name)
    if count > _MAX_FILES or count < 0:
        raise bad_field(path, "split.count", f"must be between 1 and {_MAX_FILES:,}", count)
    if match is None or int(match["count"]) != count:
        problem = (
            f"is {count}, so that the file's name must end in -00001-of-{count:05}{GGUF_SUFFIX}; give it its name back"
        )
        raise bad_field(path, "split.count", problem)
    yield from (f"{match['stem']}-{number:05}-of-{match['count']}{GGUF_SUFFIX}" for number in range(1, count + 1))


def _check_split(headers: tuple[GgufHeader, ...], names: list[str]) -> None:
    total = headers[0].metadata.integer("split.tensors.count")
    for header in headers if len(names) > 1 else ():
        metadata, number = header.metadata, names.index(header.path.name)
        if metadata.integer("split.no") != number:
            metadata.fail("split.no", f"must be {number} by the file's name")
        if metadata.integer("split.count") != len(names):
            metadata.fail("split.count", f"must be {len(names)}, as {names[0]} says")
        if metadata.integer("split.tensors.count") not in (None, total):
            metadata.fail("split.tensors.count", f"must be {total}, as {names[0]} says: it is of another model")
    held = sum(len(header.tensors) for header in headers)
    if len(names) > 1 and total is not None and len(headers) == len(names) and total != held:
        headers[0].metadata.fail("split.tensors.count", f"must be {held:,}, as many as the {len(names)} files have")


def _together(headers: tuple[GgufHeader, ...]) -> tuple[dict[str, GgufTensor], dict[str, Path]]:
    tensors: dict[str, GgufTensor] = {}
    path_of: dict[str, Path] = {}
    for header in headers:
        for name, tensor in header.tensors.items():
            if name in tensors:
                raise bad_field(header.path, visible(name, 80), "stands in another file too", path_of[name].name)
            tensors[name], path_of[name] = tensor, header.path
    return tensors, path_of


def file_in(folder: Path) -> Path | None:
    """The one model in a folder; None if there is none. Raises InputError for several and for a link that leads out."""
    paths = sorted({first_file(path) for path in folder.glob(f"*{GGUF_SUFFIX}") if not path.name.startswith("mmproj")})
    if len(paths) > 1:
        names = ", ".join(visible(path.name, 60) for path in paths[:6])
        raise InputError(f"{folder}: holds several models, {names}{', …' if len(paths) > 6 else ''}; give one of them")
    return inside(folder, paths[0].name) if paths else None

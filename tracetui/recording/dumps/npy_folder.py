"""A folder of npy files, as a program in C or a loop over numpy.save leaves it: one array each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_state import check_unchanged
from tracetui.formats.limits import MAX_RECORDS
from tracetui.formats.source import Source
from tracetui.formats.zip_arrays import StoredArray, locate_npy
from tracetui.paths import open_regular
from tracetui.recording.dumps.npz import stored_value
from tracetui.recording.dumps.values import DumpValue, NamedValue, dump_trace
from tracetui.recording.npz.array_file import ArrayFile
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, Index

_ENDING = ".npy"
_COUNTED = re.compile(r"(\d{1,9})[_.-](.+)", re.DOTALL)
"""A name with its place in the order of execution before it: `0012_layers.0.mlp`."""
_DIGITS = re.compile(r"(\d+)")
_DEEPEST = 16


class LaterFile:
    """A file of which nothing stays open between two looks: there may be more of them than files can be open."""

    def __init__(self, source: Source) -> None:
        self.path = source.path
        self._state = source.state

    def read(self, place: StoredArray, index: Index = ()) -> Array:
        """The part `index` of an array. Raises FileChangedError, and InputError for a file that is gone."""
        with open_regular(self.path) as file:
            check_unchanged(self.path, file.fileno(), self._state, "open it again")
            return ArrayFile(Source(self.path, file)).read(place, index)


def is_npy_folder(path: Path) -> bool:
    """Whether it is a folder with an npy file right in it. Raises InputError for one that can't be listed."""
    if not path.is_dir():
        return False
    try:
        with os.scandir(path) as entries:
            return any(_is_array(entry.name) for entry in entries)
    except OSError as error:
        raise InputError(f"{path}: can't be opened: {error.strerror}") from error


def npy_files(folder: Path) -> list[Path]:
    """All npy files in a folder and in those in it, `layer.2` before `layer.10`. Raises InputError for too many."""
    return sorted(_inside(folder), key=_by_numbers)


def read_npy_folder(folder: Path) -> Trace:
    """Each array under its path in the folder, with slashes and without the ending.

    Numbers before all names (`0012_layers.0.mlp.npy`) are the order of execution and no part of the names. Raises
    InputError naming the file that is wrong.
    """
    files = npy_files(folder)
    names = [file.relative_to(folder).as_posix().removesuffix(_ENDING) for file in files]
    order = _counted(names)
    named = [NamedValue(name, _value(files[place])) for place, name in order or enumerate(names)]
    return dump_trace(named)


def _value(path: Path) -> DumpValue:
    with open_regular(path) as file:
        source = Source(path, file)
        return stored_value(LaterFile(source), locate_npy(source, path.name))


def _counted(names: Sequence[str]) -> list[tuple[int, str]] | None:
    """The places of the names in the order of the numbers before them; None where these aren't what they look like."""
    found = [_COUNTED.fullmatch(name) for name in names]
    counted = [(int(match[1]), place, match[2]) for place, match in enumerate(found) if match]
    numbers, plain = {number for number, _, _ in counted}, {name for _, _, name in counted}
    if not len(names) == len(numbers) == len(plain):
        return None
    return [(place, name) for _, place, name in sorted(counted)]


def _inside(folder: Path) -> Iterator[Path]:
    looked_at = 0
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        if len(here.relative_to(folder).parts) >= _DEEPEST:
            folders.clear()
        looked_at += len(folders) + len(files)
        if looked_at > MAX_RECORDS:
            raise InputError(f"{folder}: holds more than the {MAX_RECORDS:,} files that a recording may have")
        yield from (here / name for name in files if _is_array(name))


def _is_array(name: str) -> bool:
    return name.endswith(_ENDING) and not name.startswith(".")


def _by_numbers(path: Path) -> tuple[tuple[int, str], ...]:
    """Such that numbers in a name count as numbers."""
    pieces = _DIGITS.split(path.as_posix())
    return tuple((int(piece[:18]), piece) if piece.isdigit() else (-1, piece) for piece in pieces)

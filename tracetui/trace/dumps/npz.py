"""A plain npz file: named arrays, as numpy.savez writes them, without tracetui's header."""

from __future__ import annotations

import re
from pathlib import Path

from tracetui.errors import InputError
from tracetui.paths import open_regular
from tracetui.trace.dumps.values import DumpValue, Named, dump_trace
from tracetui.trace.npz.directory import Source, read_directory
from tracetui.trace.npz.mapped import MappedFile
from tracetui.trace.npz.members import locate_all
from tracetui.trace.npz.names import HEADER
from tracetui.trace.trace import Trace

_NAME = re.compile(r"[^\x00]{0,1000}\.npy", re.DOTALL)
"""No path is ever made of it, so that a name may be anything, such as `blocks/0/attn`."""


def has_header(path: Path) -> bool:
    """Whether an npz file says of itself that it is a trace. Raises InputError."""
    with open_regular(path) as file:
        directory = read_directory(Source(path, file), _is_name)
    return any(member.name == f"{HEADER}.npy" for member in directory.members)


def read_npz_dump(path: Path) -> Trace:
    """The arrays in the file's order, mapped. Raises InputError naming the file and the member that is wrong."""
    with open_regular(path) as file:
        source = Source(path, file)
        arrays = locate_all(source, read_directory(source, _is_name))
        if not arrays:
            raise InputError(f"{path}: holds no arrays")
        mapped = MappedFile(path, file, source.size)
    return dump_trace(Named(_text(name), DumpValue(mapped, place, place.dtype.name)) for name, place in arrays.items())


def _text(name: str) -> str:
    """A member's name as it was given: zip files have UTF-8 where it isn't ASCII."""
    return name.encode("latin-1").decode("utf-8", errors="replace")


def _is_name(member: str) -> bool:
    return _NAME.fullmatch(member) is not None

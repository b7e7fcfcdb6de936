"""Where a command writes: checked before anything takes long."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_heads import HEAD_BYTES
from tracetui.file_kinds import is_zip


def writable_file(text: str, option: str = "--output") -> Path:
    """Where something shall be written, refused before the model runs if it can't be written. Raises InputError."""
    path = Path(text)
    folder = path.absolute().parent
    try:
        if not path.name:
            problem = "names no file"
        elif path.is_dir():
            problem = "is a folder"
        elif path.exists() and not path.is_file():
            problem = "is not a regular file"
        elif not folder.is_dir():
            problem = "its folder doesn't exist"
        else:
            problem = "" if os.access(folder, os.W_OK | os.X_OK) else "its folder can't be written to"
    except OSError as error:
        problem = error.strerror or "can't be used"
    if problem:
        raise InputError(f"{option}: {text or repr(text)}: {problem}")
    return path


def recording_file(text: str, sources: Iterable[Path] = ()) -> Path:
    """Where a recording shall be written: in place of another recording, and of no other file that somebody has.

    sources: the files that it is made of. Raises InputError.
    """
    path = writable_file(text)
    with suppress(OSError):
        if any(source.samefile(path) for source in sources if source.exists()):
            raise InputError(f"--output: {text}: is one of the files that are read")
        with path.open("rb") as file:
            if (head := file.read(HEAD_BYTES)) and not is_zip(head):
                raise InputError(f"--output: {text}: is there and no recording; only recordings are replaced")
    return path

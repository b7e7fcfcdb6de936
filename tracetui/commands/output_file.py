"""Where a command writes: checked before anything takes long."""

from __future__ import annotations

import os
from pathlib import Path

from tracetui.errors import InputError


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

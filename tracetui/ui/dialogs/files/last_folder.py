"""The folder from which a recording was compared last: kept between runs, and worth nothing if it can't be read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tracetui import paths
from tracetui.debugger.memory.switch import switched_off
from tracetui.errors import InputError

_LIMIT = 4096


def last_folder() -> str:
    """With a slash at its end; empty where none is known, or it is gone."""
    if switched_off():
        return ""
    try:
        kept = paths.read_bounded(_file(), _LIMIT).decode("utf-8").strip()
        return f"{kept.rstrip('/')}/" if kept.isprintable() and kept and Path(kept).is_dir() else ""
    except (InputError, OSError, ValueError):
        return ""


def keep_folder(of: Path) -> None:
    """Remember the folder of a file; silent where that fails."""
    if switched_off():
        return
    with suppress(OSError, ValueError, InputError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        with paths.replacing(_file()) as file:
            file.write(f"{of.absolute().parent}\n".encode())


def _file() -> Path:
    return paths.state_dir() / "last_folder"

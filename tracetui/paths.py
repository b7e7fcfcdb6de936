"""Where things lie on disk, and the only ways in which tracetui reads and replaces small files."""

from __future__ import annotations

import errno
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import IO

from tracetui.errors import InputError
from tracetui.file_heads import HEAD_BYTES, foreign_kind, thing
from tracetui.text import visible


def demo_configs() -> Path:
    """The folder of recipes that ships with tracetui."""
    return _shipped("demo_configs")


def themes() -> Path:
    """The folder of themes that ships with tracetui."""
    return _shipped("themes")


def config_dir() -> Path:
    """The user's own folder: `themes/` and `keys.toml` are read from it."""
    return _user_dir("TRACETUI_CONFIG_DIR", "XDG_CONFIG_HOME", ".config")


def state_dir() -> Path:
    """What tracetui remembers between runs: the chosen theme, each model's last session, log files."""
    return _user_dir("TRACETUI_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def cache_dir() -> Path:
    """What can be fetched again: the layers of models on the hub."""
    return _user_dir("TRACETUI_CACHE_DIR", "XDG_CACHE_HOME", ".cache")


def _user_dir(own: str, xdg: str, fallback: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen)
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / fallback) / "tracetui"


def _shipped(name: str) -> Path:
    """A data folder: inside the package when installed from a wheel, beside it in a checkout."""
    package = Path(str(resources.files("tracetui")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def expanded(text: str) -> Path:
    """A path as somebody writes it, `~` and `~user` for a home; of a user who isn't known it stays, as in a shell."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def read_bounded(path: Path, limit: int, any_text: bool = False) -> bytes:
    """The whole file, if it is a regular one of at most `limit` bytes that is not something else in disguise.

    any_text: whether a text may be of any kind, as a prompt may be a web page. Raises InputError naming the file:
    missing, unreadable, a folder or device, too large, a pointer or a web page.
    """
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length > limit:
            refuse_disguised(path, file.read(HEAD_BYTES))
            raise InputError(f"{path}: larger than the {limit:,} bytes that such a file may have, got {length:,}")
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise InputError(f"{path}: can't be read: {error.strerror or error}") from error
    if not (any_text and _is_text(content)):
        refuse_disguised(path, content)
    return content


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def refuse_disguised(path: Path, content: bytes) -> None:
    """Raise InputError if a file that starts with `content` is a pointer, a web page or of a known other format."""
    if kind := foreign_kind(content):
        raise InputError(f"{path}: is {kind}")


def open_regular(path: Path) -> IO[bytes]:
    """The file opened for reading without ever blocking on a pipe or device. Raises InputError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except (OSError, ValueError) as error:
        raise _not_opened(path, error) from error
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _no_file(path, mode)
    return os.fdopen(descriptor, "rb")


def _not_opened(path: Path, error: OSError | ValueError) -> InputError:
    if isinstance(error, OSError) and error.errno == errno.ENXIO:  # of a socket no more is told
        with suppress(OSError):
            return _no_file(path, path.stat().st_mode)
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return InputError(f"{path}: can't be opened: {reason}")


def _no_file(path: Path, mode: int) -> InputError:
    return InputError(f"{path}: is not a regular file but {thing(mode)}")


def inside(folder: Path, name: str) -> Path:
    """The path of a folder's own file, wherever `name` came from.

    Raises InputError for a name that is more than a file's name, and for a link that leads elsewhere; those of the
    hub's cache, from `MODEL/snapshots/REVISION/` to `MODEL/blobs/` or to the cache's own `blobs/`, stay within it.
    """
    name_text = visible(name, 80)
    if not name or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
        raise InputError(f"{folder}: {name_text}: must be the plain name of a file in this folder")
    path = folder / name
    try:
        home, real = folder.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: can't be followed to a file: {visible(str(error), 120)}") from error
    homes = [home]
    if home.parent.name == "snapshots":
        model = home.parent.parent
        homes += [model / "blobs", *([model.parent / "blobs"] if model.name.startswith("models--") else [])]
    if not any(real.is_relative_to(root) for root in homes):
        raise InputError(f"{path}: is a link that leads out of its folder, and nothing outside is read")
    return path


@contextmanager
def replacing(target: Path, *, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write that takes `target`'s place only when all of it is on disk.

    Whatever goes wrong, an interrupt included, leaves the old file as it was and no temporary one
    behind; what a killed process left is removed by a later write. A link's target is replaced, not
    the link, and a file that exists keeps its mode; a `private` one is only its owner's to read. A device, pipe or
    folder is refused. OSError passes through to the caller, who knows what was being written.
    """
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "is not a regular file")  # root's rename would take a device's place
    _sweep(target)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o600 if private else _mode_for(target))
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _sweep(target: Path) -> None:
    """Remove what writers of `target` left that were killed: nobody has written to it for an hour."""
    with suppress(OSError):
        for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
            if part.lstat().st_mtime < time.time() - 3600:
                part.unlink()


def _mode_for(target: Path) -> int:
    """The old file's mode, else what an ordinary open() would have given: mkstemp makes private ones."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def sync_folder(folder: Path) -> None:
    """Have a rename in a folder outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

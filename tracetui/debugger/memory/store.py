"""The files in which notes lie: one for each model, in the user's state folder, for nobody else to read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tracetui import paths
from tracetui.debugger.memory.note import NO_NOTE, SessionNote
from tracetui.debugger.memory.reading import NewerError, model_of, read
from tracetui.debugger.memory.writing import MAX_BYTES, written
from tracetui.errors import InputError
from tracetui.text import visible

_MOST_BAD = 20
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class StoredNote:
    """What a model's file held."""

    note: SessionNote = NO_NOTE
    there: bool = False
    """Whether the note was read from a file; False for a new model's empty note."""
    remarks: tuple[str, ...] = ()
    writable: bool = True
    """Whether the next note may take the file's place."""


NOTHING_FOUND = StoredNote()


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A note, whose it is, and when it was written, in seconds since the epoch."""

    model: str
    note: SessionNote
    when: float


def stored_sessions() -> Iterator[StoredSession]:
    """All there are, the newest first; a file that can't be read is passed over."""
    dated: list[tuple[float, Path]] = []
    with suppress(OSError):
        for path in _folder().glob("*.json"):
            with suppress(OSError):
                dated.append((path.stat().st_mtime, path))
    for when, path in sorted(dated, reverse=True):
        with suppress(OSError, InputError):
            content = paths.read_bounded(path, MAX_BYTES)
            if file_name(model := model_of(content, path)) == path.name:
                yield StoredSession(model, read(content, path, model).note, when)


def _folder() -> Path:
    return paths.state_dir() / "sessions"


class NoteStore:
    """The file of one model; `model` is whatever tells it from others, of any length and with any characters."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.path = _folder() / file_name(model)

    def read(self) -> StoredNote:
        """The note, if there is one. A file that isn't one is put aside, never lost; nothing is raised."""
        if not os.path.lexists(self.path):
            return NOTHING_FOUND
        try:
            note_read = read(paths.read_bounded(self.path, MAX_BYTES), self.path, self._model)
        except NewerError as error:
            return StoredNote(
                remarks=(f"{error}; it is left as it is, and this session isn't remembered",), writable=False
            )
        except InputError as error:
            return self._put_aside(str(error))
        return StoredNote(note_read.note, True, note_read.dropped)

    def _put_aside(self, problem: str) -> StoredNote:
        """Out of the way of the next note, under a name that nobody has."""
        told = f"nothing comes back from last time: {visible(problem, 400)}"
        for place in range(_MOST_BAD):
            aside = self.path.with_name(f"{self.path.name}.bad{place or ''}")
            if os.path.lexists(aside):
                continue
            with suppress(OSError):
                self.path.rename(aside)
                return StoredNote(remarks=(f"{told}; the file is now {aside.name}",))
            break
        return StoredNote(
            remarks=(f"{told}; the file can't be put aside, and this session isn't remembered",), writable=False
        )

    def touch(self) -> None:
        """Let a file that is there be of now."""
        with suppress(OSError):
            os.utime(self.path)

    def write(self, note: SessionNote) -> None:
        """Put a note in the file's place, all of it or nothing. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with paths.replacing(self.path, private=True) as file:
            file.write(written(note, self._model))


def file_name(model: str) -> str:
    """A name that is safe in any folder: what can be read of the model's end, and a digest of all of it."""
    digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:20]
    return f"{_UNSAFE.sub('-', model)[-40:].strip('-') or 'model'}-{digest}.json"

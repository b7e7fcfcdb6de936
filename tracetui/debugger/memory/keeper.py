"""Writes a session's notes one after another, from whichever thread, and never the same one twice."""

from __future__ import annotations

from threading import Lock

from tracetui.debugger.memory.note import SessionNote
from tracetui.debugger.memory.store import NoteStore


class Keeper:
    """Writes the newest note it was asked for, leaving out older ones; reports a failure only once."""

    def __init__(self, store: NoteStore, kept: SessionNote | None) -> None:
        """kept: the file's present note, or one that need not be written; None: the first note is always written."""
        self._store = store
        self._wanted = self._kept = kept
        self._writing = Lock()
        self._told = False

    def want(self, note: SessionNote) -> bool:
        """Have this note kept by the next `write`; whether there is anything to write."""
        self._wanted = note
        return note != self._kept

    def write(self) -> str:
        """Bring the file up to date; may take as long as a disk does. In words why it can't be, the first time."""
        with self._writing:
            note = self._wanted
            if note is None or note == self._kept:
                return ""
            try:
                self._store.write(note)
            except OSError as error:
                again, self._told = self._told, True
                reason = f"{self._store.path}: {error.strerror or error}"
                return "" if again else f"this session can't be remembered: {reason}"
            self._kept, self._told = note, False
        return ""

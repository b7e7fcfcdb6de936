"""The user's theme files, read again while they are edited: a wrong edit is told, and the last good one stays."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App
from textual.timer import Timer

from tracetui import paths
from tracetui.errors import InputError
from tracetui.ui.messages import Trouble
from tracetui.ui.theme.file import ThemeFile, read_theme
from tracetui.ui.theme.themes import MOST_FILES, theme_files

if TYPE_CHECKING:
    from tracetui.ui.themed_app import ThemedApp

_SECONDS = 0.5
"""Between two looks at the folder."""
_WRITING_NANOSECONDS = 300_000_000
"""So long after it was written a file may not be whole yet."""
_Stamp = tuple[int, int, int]


class ThemeFolder:
    """The files of one folder, and how each was when it was looked at last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamps = dict(self._now())

    def changes(self) -> list[ThemeFile | str]:
        """The themes whose files have changed since, and in words what is wrong with those that can't be read."""
        now = dict(self._now())
        changed = [path for path, stamp in now.items() if self._stamps.get(path) != stamp]
        self._stamps = now
        changes: list[ThemeFile | str] = []
        for path in changed:
            try:
                theme_file, unused = read_theme(path)
            except InputError as error:
                if time.time_ns() - now[path][0] < _WRITING_NANOSECONDS:
                    # Half written, perhaps: it is looked at again.
                    del self._stamps[path]
                    continue
                changes += [f"{line}; the theme stays as it was" for line in str(error).splitlines()]
            else:
                changes += [*unused, theme_file]
        return changes

    def _now(self) -> Iterator[tuple[Path, _Stamp]]:
        try:
            for path in theme_files(self._folder)[:MOST_FILES]:
                state = path.stat()
                yield path, (state.st_mtime_ns, state.st_size, state.st_ino)
        except OSError:
            # An editor that replaces a file takes it away for a moment.
            return


class ThemeReload:
    """Looks at the user's themes now and then, in a thread; the theme in use changes under the user's eyes."""

    def __init__(self, app: ThemedApp) -> None:
        self._app = app
        self._folder: ThemeFolder | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Once the first screen is there; a folder that comes later is read at the next start."""
        self._timer = self._app.set_interval(_SECONDS, self.look)
        self.look()

    def look(self) -> None:
        """Look now."""
        self._app.run_worker(self._look, thread=True, exclusive=True, exit_on_error=False, group="themes")

    def _look(self) -> None:
        """In a thread: nothing of the disk is asked where keys are heard."""
        if self._folder is None:
            folder = paths.config_dir() / "themes"
            if folder.is_dir():
                self._folder = ThemeFolder(folder)
            elif self._timer is not None:
                self._app.call_later(self._timer.stop)
        elif changes := self._folder.changes():
            self._app.call_later(self._take, changes)

    def _take(self, changes: list[ThemeFile | str]) -> None:
        for change in changes:
            if isinstance(change, str):
                self._app.post_message(Trouble(change))
            else:
                self._app.use_theme_file(change)
                if change.theme.name == self._app.theme:
                    self._app.mutate_reactive(App.theme)

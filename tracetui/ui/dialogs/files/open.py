"""Asks for a recording and opens it: names of files are offered while one is typed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.suggester import Suggester
from textual.widgets import Input, Static

from tracetui import paths
from tracetui.debugger.recorded_session import open_recording
from tracetui.errors import TracetuiError
from tracetui.recording.trace import Trace
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput

_KEYS = (("Enter", "opens", "submit"), LEAVE, ("→", "takes the name offered", ""))
_ENDS = (".npz", ".safetensors")
_MOST = 10_000
"""Names of a folder that are looked at."""


@dataclass(frozen=True, eq=False, slots=True)
class Recording:
    """A trace and the file that it is in."""

    path: Path
    trace: Trace


class OpenScreen(Dialog[Recording | None]):
    """A file's name to type; the answer is the opened recording, or None."""

    HEADING: ClassVar[str] = "Open a recording (.npz), or a file of named tensors"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False, id="leave")]

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="open"):
            yield Static(self.HEADING, classes="dialog-title", markup=False)
            yield LineInput(id="file", compact=True, placeholder="run.npz", suggester=FileNames())
            yield Static(id="open-hint")
            yield DialogKeys(*_KEYS)

    @on(Input.Changed)
    def _changed(self) -> None:
        self.query_one("#open-hint", Static).update("")

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self.read(event.value)

    def read(self, typed: str) -> None:
        """Have the file read."""
        read_in_background(self, "open", partial(read_recording, typed), partial(self.show, typed))

    def show(self, typed: str, recording: Recording | str) -> None:
        """The recording that was typed ends the dialog; what is wrong with its name stands as long as the name does."""
        if isinstance(recording, Recording):
            self.dismiss(recording)
        elif typed == self.query_one(LineInput).value:
            self.query_one("#open-hint", Static).update(Content.styled(visible(recording), "$error"))

    def action_leave(self) -> None:
        self.dismiss(None)


class FileNames(Suggester):
    """The first file or folder, by name, that goes on from what is typed."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(completed, value)


def completed(typed: str) -> str | None:
    """The typed path with its last name made whole; None where no recording or folder begins so."""
    folder, slash, start = typed.rpartition("/")
    if not start:
        return None
    names: list[str] = []
    with suppress(OSError, ValueError, RuntimeError):
        for place, path in enumerate(paths.expanded(f"{folder}{slash}" or ".").iterdir()):
            if place == _MOST:
                break
            if path.name.startswith(start) and (path.suffix in _ENDS or path.is_dir()):
                names.append(f"{path.name}{'/' if path.is_dir() else ''}")
    fitting = sorted(name for name in names if name.isprintable() and name != start)
    return f"{folder}{slash}{fitting[0]}" if fitting else None


def read_recording(typed: str) -> Recording | str:
    """The recording in a file whose name was typed, or in words why there is none."""
    try:
        path = paths.expanded(typed.strip())
        return Recording(path, open_recording(path))
    except (TracetuiError, OSError, ValueError, RuntimeError) as error:
        return str(error)

"""Asks where the trace shall go, and once more before an existing file is replaced."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tracetui.text import visible
from tracetui.ui.screens.dialog import Dialog
from tracetui.ui.widgets.line_input import LineInput

_HINT = Content.assemble(("Enter", "bold $accent"), " saves   ", ("Esc", "bold $accent"), " leaves")


class ExportScreen(Dialog[Path | None]):
    """A file name to accept or change; the answer is a path, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False, id="leave")]

    def __init__(self, name: str) -> None:
        super().__init__()
        self._offered = name
        self._confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="export"):
            yield Static("Export the trace as .npz", classes="dialog-title", markup=False)
            yield LineInput(self._offered, id="file", compact=True, select_on_focus=False)
            yield Static(_HINT, id="export-hint")

    @on(Input.Changed)
    def _changed(self) -> None:
        self._confirmed = None
        self.query_one("#export-hint", Static).update(_HINT)

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        path = _path(event.value, self._offered)
        problem = _problem(path)
        if problem:
            self._say(problem, "$error")
        elif path.exists() and path != self._confirmed:
            self._confirmed = path
            self._say(f"{path.name} exists; Enter again replaces it, Esc leaves it", "$waiting")
        else:
            self.dismiss(path)

    def action_leave(self) -> None:
        self.dismiss(None)

    def _say(self, text: str, colour: str) -> None:
        self.query_one("#export-hint", Static).update(Content.styled(visible(text), colour))


def _path(typed: str, offered: str) -> Path:
    """What was typed as a path: a folder stands for the offered name inside it."""
    try:
        path = Path(typed.strip()).expanduser()
    except RuntimeError:
        path = Path(typed.strip())
    with suppress(OSError, ValueError):
        if typed.strip() and path.is_dir():
            return path / offered
    return path if path.suffix or not path.name else path.with_name(f"{path.name}.npz")


def _problem(path: Path) -> str:
    """What keeps a path from being written, as far as it can be seen now."""
    try:
        if not path.name:
            return "type a file name"
        if "\0" in str(path):
            return "a file name can't hold a null byte"
        if path.is_dir():
            return f"{path} is a folder"
        return "" if path.parent.is_dir() else f"{path.parent} is no folder"
    except OSError as error:
        return str(error)

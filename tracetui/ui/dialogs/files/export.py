"""Asks where the trace shall go, once more before an existing file is replaced, and shows how it is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Event
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from tracetui import paths
from tracetui.errors import TracetuiError
from tracetui.recording.npz import write_trace
from tracetui.recording.trace import Trace
from tracetui.served import is_served
from tracetui.text import size, visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import LEAVE, DialogKeys
from tracetui.ui.messages import Said, Trouble
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.line_input import LineInput

_GAUGE = 16
_NOTICE_SECONDS = 0.1
_KEYS = (("Enter", "saves", "submit"), LEAVE)


Answer = Said | Trouble | None


class ExportScreen(Dialog[Answer]):
    """A file name to accept or change, then how far the writing is; the answer is what came of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False, id="leave")]

    def __init__(self, name: str, trace: Trace) -> None:
        super().__init__()
        self._offered = name
        self._trace = trace
        self._writing = False
        self._given_up = Event()
        self._confirmed: Path | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="export"):
            yield Static("Export the trace as .npz", classes="dialog-title", markup=False)
            yield LineInput(self._offered, id="file", compact=True)
            yield Static(id="export-hint")
            yield DialogKeys(*_KEYS)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._confirmed = None
        self.query_one("#export-hint", Static).update("")

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        if self._writing:
            return
        if is_served():
            path = Path(mkdtemp(prefix="tracetui-")) / _own_name(event.value, self._offered)
            self._write(path, partial(self._deliver, path))
            return
        path = _path(event.value, self._offered)
        if problem := _problem(path):
            self._say(problem, "$error")
        elif (doubt := _doubt(path)) and path != self._confirmed:
            self._confirmed = path
            self._say(doubt, "$waiting")
        else:
            self._write(path, self._wrote)

    def _write(self, path: Path, after: Callable[[Said | Trouble], object]) -> None:
        self._writing = True
        self.query_one("#file").disabled = True
        self.query_one("#export-hint", Static).update(_progress(0.0, 0, 0))
        work = partial(_written, self._trace, path, self._tell, self._given_up)
        read_in_background(self, "export", work, after)

    def _wrote(self, answer: Said | Trouble) -> None:
        """An error leaves the name to be changed."""
        if isinstance(answer, Said):
            self.dismiss(answer)
            return
        self._writing = False
        line = self.query_one(LineInput)
        line.disabled = False
        line.focus()
        self._say(answer.text, "$error")
        self.post_message(answer)

    def _deliver(self, path: Path, answer: Said | Trouble) -> None:
        """Hand what was written to the browser; here nothing stays."""
        if isinstance(answer, Said):
            file = path.open("rb")
            self.app.deliver_binary(file, save_filename=path.name, mime_type="application/octet-stream")
            answer = Said(f"{path.name} goes to the browser's downloads")
        rmtree(path.parent, ignore_errors=True)
        self._wrote(answer)

    def _tell(self, done: int, total: int) -> None:
        """From the thread that writes."""
        self.call_later(self._progress, done, total)

    def _progress(self, done: int, total: int) -> None:
        """So many bytes of so many are written."""
        if not self._given_up.is_set():
            fraction = done / total if total else 1.0
            self.query_one("#export-hint", Static).update(_progress(fraction, done, total))

    def action_leave(self) -> None:
        """Leave, or give up what is being written."""
        if self._writing:
            self._given_up.set()
            self._say("giving up…", "$waiting")
        else:
            self.dismiss(None)

    def _say(self, text: str, colour: str) -> None:
        self.query_one("#export-hint", Static).update(Content.styled(visible(text), colour))


def _own_name(typed: str, offered: str) -> str:
    """A name alone: whoever sits at the browser writes nowhere on this machine."""
    name = Path(typed.strip().replace("\0", "")).name or offered
    return name if name.endswith(".npz") else f"{name}.npz"


def _path(typed: str, offered: str) -> Path:
    """What was typed as a path: a folder stands for the offered name inside it."""
    try:
        path = paths.expanded(typed.strip())
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
        folder = next(each for each in path.absolute().parents if each.exists())
        return "" if folder.is_dir() else f"{folder} is no folder"
    except OSError as error:
        return str(error)


def _doubt(path: Path) -> str:
    """What a path is asked about again before it is written."""
    if path.exists():
        return f"{path.name} exists; Enter again replaces it, Esc leaves it"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}; Enter again makes it"
    return "" if path.suffix == ".npz" else f"{path.name} would be an npz file all the same; Enter again writes it"


def _progress(fraction: float, done: int, total: int) -> Content:
    words = f" {fraction:4.0%}  {size(done)} of {size(total)}   " if total else "   "
    gauge = ("━" * round(_GAUGE * fraction), "$running"), ("─" * (_GAUGE - round(_GAUGE * fraction)), "$rule")
    return Content.assemble(*gauge, words, ("Esc", "bold $accent"), " gives up")


class _GivenUpError(Exception):
    """The user left while the file was written."""


def _written(trace: Trace, path: Path, tell: Callable[[int, int], None], given_up: Event) -> Said | Trouble:
    """Write the trace, telling how far it is some ten times a second."""
    worker, next_notice = get_current_worker(), 0.0

    def progress(done: int, total: int) -> None:
        nonlocal next_notice
        # The program that ends waits for this thread before it takes its dialogs away.
        if given_up.is_set() or worker.is_cancelled:
            raise _GivenUpError
        if (now := time.monotonic()) >= next_notice:
            next_notice = now + _NOTICE_SECONDS
            tell(done, total)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        written = write_trace(trace, path, progress)
    except _GivenUpError:
        return Said("the export was given up; nothing is written")
    except TracetuiError as error:
        return Trouble(f"not exported: {error}")
    except OSError as error:
        return Trouble(f"not exported: {path.parent}: {error.strerror or error}")
    except Exception as error:
        return Trouble(f"not exported: {type(error).__name__}: {error}")
    return Said(f"exported {size(written)} to {path.absolute()}")

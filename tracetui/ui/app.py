"""The application: it opens the session behind the first screen, and ends in order whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path, PurePath
from types import FrameType
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from tracetui import paths
from tracetui.debugger.session import Failed, Listener, Session
from tracetui.debugger.start_page import StartPage, page_of_recording
from tracetui.logs import write_log
from tracetui.signals import told_to_end
from tracetui.text import visible
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.dialogs.command_search import CommandSearch
from tracetui.ui.foreign import notify
from tracetui.ui.keys.bound import binding_ids
from tracetui.ui.keys.commands import commands_of, shown_keys
from tracetui.ui.keys.keymap import load_keymap
from tracetui.ui.messages import Said, SessionEvent, SessionOpened, Trouble
from tracetui.ui.reader import read_in_background
from tracetui.ui.terminal.driver import TerminalDriver
from tracetui.ui.theme.file import default_heatmap
from tracetui.ui.theme.themes import DEFAULT_THEME, load_themes, remembered_theme
from tracetui.ui.theme.variables import default_variables
from tracetui.views.palette import PALETTES, Palette

if TYPE_CHECKING:
    from tracetui.ui.dialogs.open import Recording

CLOSE_SECONDS = 2.0
INTERRUPTED = 130
_SIGNALS = {"SIGTERM": 143, "SIGHUP": 129}

OpenSession = Callable[[Listener], Session]
MakeScreen = Callable[[Mapping[str, str]], Screen[None]]
"""Takes the keys that the user chose, by the ids of commands."""


class TracetuiApp(App[int]):
    """One model under the debugger."""

    TITLE = "tracetui"
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "diff.tcss", "quantised.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "cancel the run, then quit", show=False, priority=True, id="interrupt"),
        Binding("ctrl+q", "quit", "quit", show=False, priority=True, id="quit_always"),
        Binding(
            "ctrl+z", "suspend_process", "back to the shell, `fg` returns", show=False, priority=True, id="suspend"
        ),
    ]

    def __init__(self, open_session: OpenSession, offer: StartPage, make_first: MakeScreen | None = None) -> None:
        """make_first: of a screen that is shown at once, over the debugger."""
        self._themes, self._theme_problems = load_themes()
        super().__init__(driver_class=TerminalDriver)
        self._open_session = open_session
        self._make_first = make_first
        self._keymap_found = load_keymap(paths.config_dir() / "keys.toml", partial(binding_ids, type(self)))
        self.debugger = DebuggerScreen(offer, self._keymap_found.keys)
        self.closed = True
        """Whether the session's thread ended in time."""
        self.told_to_end: Callable[[int], None] = lambda code: None
        """Hears with which status the program was told to end, before it tries to."""
        for theme_file in self._themes.values():
            self.register_theme(theme_file.theme)
        wanted = remembered_theme()
        self.theme = wanted if wanted in self.available_themes else DEFAULT_THEME
        self.set_keymap(dict(self._keymap_found.keys))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return default_variables(self.current_theme)

    def get_default_screen(self) -> Screen[None]:
        return self.debugger

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The commands of the screen that is on view, and none of Textual's."""
        for command in commands_of(screen):
            if command.id != "palette":
                where = self if command.action.startswith("app.") else screen
                run = partial(self.run_action, command.action, where)
                yield SystemCommand(command.help, f"key {shown_keys(command, self._keymap)}", run)

    def palettes(self) -> tuple[Palette, ...]:
        """The heatmap's palettes, the theme's own first."""
        theme_file = self._themes.get(self.theme)
        own = theme_file.heatmap if theme_file else default_heatmap(self.current_theme)
        return (*own.palettes(self.theme), *PALETTES)

    def on_load(self) -> None:
        """Before the terminal is taken: a signal that comes while the screen is built must give it back too."""
        self._catch_signals()

    def on_mount(self) -> None:
        # Back from the shell, nothing of the screen is left.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        for problem in (*self._theme_problems, *self._keymap_found.problems):
            self.debugger.report(problem)
        if self._make_first is not None:
            self.push_screen(self._make_first(self._keymap_found.keys))
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Once the first screen has been painted."""
        self._open_on(self.debugger, self._open_session)

    def _open_on(self, screen: DebuggerScreen, open_session: OpenSession) -> None:
        """Open a session for a screen, off this thread: it may import, or go through all that is recorded."""
        work = partial(self._opened_on, screen, open_session)
        self.run_worker(work, thread=True, exit_on_error=False, group="session")

    def _opened_on(self, screen: DebuggerScreen, open_session: OpenSession) -> None:
        try:
            session = open_session(lambda event: self._forward(screen, SessionEvent(event)))
            self._forward(screen, SessionOpened(session))
        except Exception as error:
            log = write_log("start", error)
            self._forward(screen, SessionEvent(Failed(str(error) or type(error).__name__, log)))

    def _forward(self, screen: DebuggerScreen, message: Message) -> None:
        """Over to the screen's thread; once the screen is gone nobody listens."""
        with suppress(RuntimeError):
            screen.post_message(message)

    def _catch_signals(self) -> None:
        """End in order when told to: left alone, these signals leave the terminal in raw mode."""
        loop = asyncio.get_running_loop()
        with suppress(ValueError, RuntimeError, NotImplementedError):
            for name, code in _SIGNALS.items():
                signal.signal(getattr(signal, name), partial(self._told_to_end, loop, code))
            loop.add_signal_handler(signal.SIGINT, self.action_interrupt)
        if (number := told_to_end()) is not None:
            # It came while the screen's libraries were imported, and its exception may have come to nothing there.
            self._end(128 + number)

    def _told_to_end(self, loop: asyncio.AbstractEventLoop, code: int, number: int, frame: FrameType | None) -> None:
        """Not left to the loop alone: it comes to nothing while a frame waits for a terminal that nobody reads."""
        self.told_to_end(code)
        if loop.is_closed():
            raise SystemExit(code)
        loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        """End in order; a screen that is still being built is finished first, torn down half-way it would fail."""
        self.told_to_end(code)
        self.debugger.note_down()
        if self.debugger.is_mounted:
            self.exit(code, return_code=code)
        else:
            self.call_after_refresh(self._end, code)

    def action_open(self) -> None:
        from tracetui.ui.dialogs.open import OpenScreen

        self.push_screen(OpenScreen(), self._show_recording)

    def _show_recording(self, recording: Recording | None) -> None:
        """A screen of its own over what is there, which stays as it is."""
        if recording is None:
            return
        from tracetui.debugger.recorded_session import RecordedSession

        screen = DebuggerScreen(page_of_recording(recording.trace, recording.path), self._keymap_found.keys)
        self.push_screen(screen)
        self._open_on(screen, partial(RecordedSession, recording.trace))

    def action_close_recording(self) -> None:
        if self.screen is not self.debugger and isinstance(self.screen, DebuggerScreen):
            self.pop_screen()
        else:
            notify(self, "nothing was open before")

    async def action_quit(self) -> None:
        self._end(0)

    def action_suspend_process(self) -> None:
        """To the shell if one waits there: without it nobody could call the stopped program back."""
        parent = os.getppid()
        if os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp():
            super().action_suspend_process()

    def action_interrupt(self) -> None:
        """Cancel what runs; when nothing runs, or the second time, quit."""
        if self.debugger.cancel_run():
            notify(self, "the run is cancelled; Ctrl-C again quits")
            return
        self._end(INTERRUPTED)

    def action_command_palette(self) -> None:
        if not any(isinstance(screen, CommandSearch) for screen in self.screen_stack):
            self.push_screen(CommandSearch(id="--command-palette"))

    def action_picture(self) -> None:
        """Save what is on the screen, a dialog included."""
        # Readers such as librsvg drop even no-break spaces at the ends of a text, unless they are told to keep them.
        picture = self.export_screenshot(title="tracetui").replace("<svg ", '<svg xml:space="preserve" ', 1)
        path = Path.cwd() / f"tracetui-{datetime.now():%Y%m%d-%H%M%S}.svg"
        read_in_background(
            self.debugger, "screenshot", partial(_write_picture, picture, path), self.debugger.post_message
        )

    @on(Trouble)
    def _report(self, message: Trouble) -> None:
        """In the log of the model or recording that is on view, under whatever dialog."""
        shown = [screen for screen in self.screen_stack if isinstance(screen, DebuggerScreen)]
        (shown or [self.debugger])[-1].report(message.text)

    async def on_unmount(self) -> None:
        self.closed = await asyncio.to_thread(self.debugger.close, CLOSE_SECONDS)

    def _fatal_error(self) -> None:
        """A mistake of ours: the traceback goes to a file, one line to the terminal."""
        error = sys.exc_info()[1] or RuntimeError("unknown")
        log = write_log("crash", error)
        where = f"; the log is in {log}" if log else ""
        self.panic(Text(visible(f"tracetui: internal error: {type(error).__name__}: {error}{where}", 2000)))


def _write_picture(picture: str, path: Path) -> Said | Trouble:
    try:
        with paths.replacing(path) as file:
            file.write(picture.encode("utf-8", "backslashreplace"))
    except OSError as error:
        return Trouble(f"no screenshot: {path}: {error.strerror or error}")
    return Said(f"the screen is saved in {path}")

"""The application: it opens the session behind the first screen, and ends in order whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from io import StringIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import RenderableType
from textual import on
from textual.app import SystemCommand
from textual.message import Message
from textual.screen import Screen

from tracetui import paths
from tracetui.debugger.session import Failed, Listener, Session
from tracetui.debugger.start_page import StartPage, page_of_recording
from tracetui.logs import write_log
from tracetui.served import NOT_SERVED, is_served
from tracetui.ui.debugger_screen.screen import DebuggerScreen
from tracetui.ui.dialogs.command_search import CommandSearch
from tracetui.ui.foreign import notify
from tracetui.ui.keys.commands import commands_of, shown_keys
from tracetui.ui.messages import Said, SessionEvent, SessionOpened, Trouble
from tracetui.ui.painting.sized_screen import arranged_for
from tracetui.ui.reader import read_in_background
from tracetui.ui.terminal.colours import depth_of
from tracetui.ui.terminal.graphics import GraphicsKnown
from tracetui.ui.terminal.pictures import Pictures
from tracetui.ui.theme.file import default_heatmap
from tracetui.ui.theme.reload import ThemeReload
from tracetui.ui.themed_app import INTERRUPTED, ThemedApp
from tracetui.views.heatmap.depth import Depth
from tracetui.views.palette import PALETTES, Palette

if TYPE_CHECKING:
    from tracetui.ui.dialogs.files.open import Recording

CLOSE_SECONDS = 2.0

OpenSession = Callable[[Listener], Session]
MakeScreen = Callable[[Mapping[str, str]], Screen[None]]
"""Takes the keys that the user chose, by the ids of commands."""


class TracetuiApp(ThemedApp):
    """One model under the debugger."""

    HEARS_WHEN_READY = False
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "diff.tcss", "quantised.tcss"]

    def __init__(self, open_session: OpenSession, offer: StartPage, make_first: MakeScreen | None = None) -> None:
        """make_first: of a screen that is shown at once, over the debugger."""
        super().__init__()
        self._open_session = open_session
        self._make_first = make_first
        self.debugger = DebuggerScreen(offer, self.keymap_shown)
        self.pictures = Pictures(self)
        self._update: RenderableType | None = None

    def before_screen(self) -> None:
        depth_of(self)  # of tmux, for maps

    @property
    def wants_pictures(self) -> bool:
        """Whether the terminal is to be asked for pixels: where it has all colours, and NO_COLOR isn't set."""
        return depth_of(self) is Depth.TRUE

    @on(GraphicsKnown)
    def _know_graphics(self, message: GraphicsKnown) -> None:
        self.pictures.know(message.graphics)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        self._update = renderable
        super()._display(screen, renderable)

    def _end_update(self) -> None:
        """Pictures come with the characters around them, in one frame."""
        self.pictures.write_over(self._update)
        super()._end_update()

    def get_default_screen(self) -> Screen[None]:
        return arranged_for(self.debugger, self.size)

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

    def on_mount(self) -> None:
        ThemeReload(self).begin()
        # Back from the shell, nothing of the screen is left.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        for problem in self.problems:
            self.debugger.report(problem)
        if self._make_first is not None:
            self.push_screen(self._make_first(self.keymap_shown))
        self.call_after_refresh(self._begin)

    async def _begin(self) -> None:
        """Once the first screen has been painted."""
        await self._open_on(self.debugger, self._open_session)
        await self.hear()

    async def _open_on(self, screen: DebuggerScreen, open_session: OpenSession) -> None:
        """Make a screen whole, and open a session for it, off this thread: it may go through all that is recorded."""
        await screen.complete()
        if not screen.is_attached:
            # Told to end before the screen was whole.
            return
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

    def end(self, code: int) -> None:
        """End in order; a screen that is still being built is finished first, torn down half-way it would fail."""
        self.told_to_end(code)
        self.debugger.note_down()
        if self.debugger.is_at_rest:
            super().end(code)
        else:
            self.call_after_refresh(self.end, code)

    def action_open(self) -> None:
        if is_served():
            notify(self, NOT_SERVED)
            return
        from tracetui.ui.dialogs.files.open import OpenScreen

        self.push_screen(OpenScreen(), self._show_recording)

    async def _show_recording(self, recording: Recording | None) -> None:
        """A screen of its own over what is there, which stays as it is."""
        if recording is None:
            return
        from tracetui.debugger.recorded_session import RecordedSession

        screen = DebuggerScreen(page_of_recording(recording.trace, recording.path), self.keymap_shown)
        await self.push_screen(arranged_for(screen, self.size))
        await self._open_on(screen, partial(RecordedSession, recording.trace))

    def action_close_recording(self) -> None:
        if self.screen is not self.debugger and isinstance(self.screen, DebuggerScreen):
            self.pop_screen()
        else:
            notify(self, "nothing was open before")

    def action_interrupt(self) -> None:
        """Cancel what runs; when nothing runs, or the second time, quit."""
        if self.debugger.cancel_run():
            notify(self, "the run is cancelled; Ctrl-C again quits")
            return
        self.end(INTERRUPTED)

    def action_pixels(self) -> None:
        """Large maps and histograms in pixels, or in block characters."""
        notify(self, self.pictures.switch())

    def action_command_palette(self) -> None:
        if not any(isinstance(screen, CommandSearch) for screen in self.screen_stack):
            self.push_screen(CommandSearch(id="--command-palette"))

    def action_picture(self) -> None:
        """Save what is on the screen, a dialog included."""
        # Readers such as librsvg drop even no-break spaces at the ends of a text, unless they are told to keep them.
        picture = self.export_screenshot(title="tracetui").replace("<svg ", '<svg xml:space="preserve" ', 1)
        name = f"tracetui-{datetime.now():%Y%m%d-%H%M%S}.svg"
        if is_served():
            self.deliver_text(StringIO(picture), save_filename=name, mime_type="image/svg+xml")
            return
        path = Path.cwd() / name
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


def _write_picture(picture: str, path: Path) -> Said | Trouble:
    try:
        with paths.replacing(path) as file:
            file.write(picture.encode("utf-8", "backslashreplace"))
    except OSError as error:
        return Trouble(f"no screenshot: {path}: {error.strerror or error}")
    return Said(f"the screen is saved in {path}")

"""What every application of tracetui's has: its themes and keys, the terminal, and an end in order."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter

from tracetui import paths
from tracetui.logs import write_log
from tracetui.served import is_served
from tracetui.signals import told_to_end
from tracetui.text import visible
from tracetui.ui.keys.keymap import load_keymap
from tracetui.ui.terminal.driver import TerminalDriver
from tracetui.ui.theme.file import ThemeFile
from tracetui.ui.theme.stylesheet import KeptStylesheet
from tracetui.ui.theme.themes import DEFAULT_THEME, load_themes, remembered_theme
from tracetui.ui.theme.variables import default_variables

INTERRUPTED = 130
_MOST_PROBLEMS = 20
_SIGNALS = {"SIGTERM": 143, "SIGHUP": 129, "SIGQUIT": 131}


class ThemedApp(App[int]):
    """Subclasses say what `end` keeps before they leave, and what an interrupt cancels."""

    TITLE = "tracetui"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c", "interrupt", "cancel the run, then quit", show=False, priority=True, id="interrupt"),
        Binding("ctrl+q", "quit", "quit", show=False, priority=True, id="quit_always"),
        Binding(
            "ctrl+z", "suspend_process", "back to the shell, `fg` returns", show=False, priority=True, id="suspend"
        ),
    ]
    HEARS_WHEN_READY: ClassVar = True
    """Whether the first screen hears keys once it has been laid out; else the application says when, by `hear`."""
    closed = True
    """Whether all that it began ended in time."""

    def __init__(self) -> None:
        self._typed_early: list[events.Event] | None = []
        """Typed or clicked before there was a screen that hears it; None once there is one."""
        self._themes, theme_problems = load_themes()
        if not os.environ.get("NO_COLOR", "set"):
            # Empty, it says nothing: https://no-color.org.
            del os.environ["NO_COLOR"]
        super().__init__(driver_class=None if is_served() else TerminalDriver)
        keymap = load_keymap(paths.config_dir() / "keys.toml", self._binding_ids)
        self.keymap_shown = keymap.keys
        """The keys that the user chose, by the ids of commands."""
        self.problems = _first((*theme_problems, *keymap.problems))
        """What is wrong with the user's own themes and keys."""
        self._without_colours: tuple[LineFilter, ...] = ()
        """Made for the theme as it is; empty until it is asked for."""
        self.status = 0
        """With which the program ends when somebody quits."""
        self.told_to_end: Callable[[int], None] = lambda code: None
        """Hears with which status the program was told to end, before it tries to."""
        for theme_file in self._themes.values():
            self.register_theme(theme_file.theme)
        theme = remembered_theme()
        self.theme = theme if theme in self.available_themes else DEFAULT_THEME
        self._styled_for = self._looks()
        self.stylesheet = KeptStylesheet(variables=self._styled_for[1])
        self.set_keymap(dict(keymap.keys))

    def _binding_ids(self) -> frozenset[str]:
        from tracetui.ui.keys.bound import binding_ids

        return binding_ids(type(self))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return default_variables(self.current_theme)

    def _looks(self) -> tuple[str, dict[str, str]]:
        return self.theme, self.get_css_variables()

    def refresh_css(self, animate: bool = True) -> None:
        """Only for another theme: with that which it began with, each widget was styled when it came."""
        if (looks := self._looks()) != self._styled_for:
            self._styled_for, self._without_colours = looks, ()
            super().refresh_css(animate)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own would send greys under NO_COLOR."""
        if not self.no_color:
            return super().get_line_filters()
        if not self._without_colours:
            from tracetui.ui.terminal.no_color import WithoutColours

            self._without_colours = (WithoutColours(self.get_css_variables()),)
        return self._without_colours

    def use_theme_file(self, theme_file: ThemeFile) -> None:
        """Know a theme as its file is now."""
        self._themes[theme_file.theme.name] = theme_file
        self.register_theme(theme_file.theme)

    def before_screen(self) -> None:
        """What has to be asked of the terminal before anything is drawn on it."""

    def on_load(self) -> None:
        """Before the terminal is taken: a signal that comes while the screen is built must give it back too."""
        self._catch_signals()

    async def on_event(self, event: events.Event) -> None:
        """What is typed before the first screen has its focus waits for it."""
        if (
            self._typed_early is not None
            and isinstance(event, events.Key | events.Paste | events.MouseEvent)
            and not self._has_priority(event)
        ):
            self._typed_early.append(event)
            return
        await super().on_event(event)
        if isinstance(event, events.Ready) and self.HEARS_WHEN_READY:
            await self.hear()

    async def hear(self) -> None:
        """From now on the screen hears what is typed, and what was typed before."""
        typed, self._typed_early = self._typed_early or (), None
        for early in typed:
            await super().on_event(early)

    def _has_priority(self, event: events.Event) -> bool:
        """Whether it is a key that is heard whatever has the focus."""
        bindings = self._bindings.key_to_bindings.get(event.key, ()) if isinstance(event, events.Key) else ()
        return any(binding.priority for binding in bindings)

    def _catch_signals(self) -> None:
        """End in order when told to: left alone, these signals leave the terminal in raw mode."""
        loop = asyncio.get_running_loop()
        with suppress(ValueError, RuntimeError, NotImplementedError):
            for name, code in _SIGNALS.items():
                signal.signal(getattr(signal, name), partial(self._told_to_end, loop, code))
            loop.add_signal_handler(signal.SIGINT, self.action_interrupt)
        if (number := told_to_end()) is not None:
            # It came while the screen's libraries were imported, and its exception may have come to nothing there.
            self.end(128 + number)

    def _told_to_end(self, loop: asyncio.AbstractEventLoop, code: int, number: int, frame: FrameType | None) -> None:
        """Not left to the loop alone: it comes to nothing while a frame waits for a terminal that nobody reads."""
        self.told_to_end(code)
        if loop.is_closed():
            raise SystemExit(code)
        loop.call_soon_threadsafe(self.end, code)

    def end(self, code: int) -> None:
        """End in order, with this exit status."""
        self.told_to_end(code)
        self.exit(code, return_code=code)

    async def action_quit(self) -> None:
        self.end(self.status)

    def action_interrupt(self) -> None:
        """Ctrl-C."""
        self.end(INTERRUPTED)

    def action_suspend_process(self) -> None:
        """To the shell if one waits there: without it nobody could call the stopped program back."""
        parent = os.getppid()
        if os.getsid(parent) == os.getsid(0) and os.getpgid(parent) != os.getpgrp():
            super().action_suspend_process()

    def _fatal_error(self) -> None:
        """A mistake of ours: the traceback goes to a file, one line to the terminal."""
        error = sys.exc_info()[1] or RuntimeError("unknown")
        log = write_log("crash", error)
        where = f"; the log is in {log}" if log else ""
        self.panic(Text(visible(f"tracetui: internal error: {type(error).__name__}: {error}{where}", 2000)))


def _first(problems: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are told: a file may have thousands."""
    more = len(problems) - _MOST_PROBLEMS
    return (*problems[:_MOST_PROBLEMS], f"and {more:,} more in themes and keys") if more > 0 else problems

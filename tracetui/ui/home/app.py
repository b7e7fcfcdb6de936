"""The application of the home screen, which ends with what was chosen."""

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar

from textual.screen import Screen

from tracetui.ui.home.screen import HomeReaders, HomeScreen
from tracetui.ui.themed_app import ThemedApp


class HomeApp(ThemedApp):
    """Nothing of the debugger's screen is imported for it."""

    CSS_PATH: ClassVar[list[str | PurePath]] = ["home.tcss"]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, readers: HomeReaders, problem: str = "") -> None:
        """problem: why what was chosen last didn't open."""
        super().__init__()
        self.chosen: tuple[str, ...] = ()
        """The command, as it would be typed after `tracetui`; empty if nothing was chosen."""
        problem = " · ".join(part for part in (problem, *self.problems) if part)
        self._home = HomeScreen(readers, self._choose, problem)

    def get_default_screen(self) -> Screen[None]:
        return self._home

    def _choose(self, command: tuple[str, ...]) -> None:
        self.chosen = command
        self.exit(0)

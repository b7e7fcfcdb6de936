"""What is on view, explained, and all keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tracetui.ui.debugger_screen.host import Handlers, Host


class HelpActions:
    """Dialogs are imported by what opens them."""

    def __init__(self, host: Host, pane: Callable[[], str], keymap: Mapping[str, str]) -> None:
        """pane: returns the id of the pane that is explained."""
        self._host = host
        self._pane = pane
        self._keymap = keymap

    @property
    def handlers(self) -> Handlers:
        return {"help": self.explain}

    def explain(self) -> None:
        """The record and its pane; `?` there goes on to all keys."""
        from tracetui.debugger.lessons import lesson
        from tracetui.ui.dialogs.teach import TeachScreen

        pane = self._pane()
        self._host.push(TeachScreen(tuple(lesson(self._host.state, pane)), pane, self._keymap, self.all_keys))

    def all_keys(self) -> None:
        from tracetui.ui.dialogs.help import HelpScreen

        self._host.push(HelpScreen(self._keymap))

"""What leaves the screen, and what is laid beside it: export, comparison, copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tracetui.debugger.no_step import nothing_yet
from tracetui.served import NOT_SERVED, is_served
from tracetui.text import visible
from tracetui.ui.debugger_screen.host import Handlers, Host
from tracetui.ui.messages import Said, Trouble

if TYPE_CHECKING:
    from tracetui.debugger.start_page import StartPage
    from tracetui.ui.dialogs.files.open import Recording


class FileActions:
    """Dialogs are imported by what opens them: what isn't on the first screen isn't loaded before it is painted."""

    def __init__(self, host: Host, page: StartPage, keymap: Mapping[str, str], copied: Callable[[], str]) -> None:
        """copied: the line or cell of the pane in front in words; empty where there is nothing yet."""
        self._host = host
        self._page = page
        self._keymap = keymap
        self._copied = copied

    @property
    def handlers(self) -> Handlers:
        return {"export": self.export, "diff": self.diff, "copy": self.copy}

    def export(self) -> None:
        from tracetui.ui.dialogs.files.export import ExportScreen

        state = self._host.state
        if not state.frontier:
            self._host.show(nothing_yet(state))
            return
        self._host.push(ExportScreen(self._page.file_name, state.trace), self.exported)

    def exported(self, answer: Said | Trouble | None) -> None:
        """What came of it."""
        if isinstance(answer, Said):
            self._host.say(answer.text)
        elif answer is not None:
            self._host.report(answer.text)

    def diff(self) -> None:
        from tracetui.ui.dialogs.files.compare import CompareScreen

        state = self._host.state
        if is_served():
            self._host.show(NOT_SERVED)
            return
        if not state.frontier:
            self._host.show(nothing_yet(state))
            return
        self._host.push(CompareScreen(), self._compare)

    def _compare(self, other: Recording | None) -> None:
        """What is recorded so far beside another recording, the reference."""
        if other is not None:
            from tracetui.ui.diff_screen.opening import diff_screen

            names = (self._page.title, str(other.path))
            self._host.push(diff_screen(self._host.state.trace, other.trace, names, self._keymap))

    def copy(self) -> None:
        """The line or cell of the pane in front, in words."""
        text = self._copied() if self._host.state.cursor >= 0 else ""
        if text:
            self._host.copy(visible(text, 4000), f"copied: {text}")
        else:
            self._host.show("there is nothing to copy yet")

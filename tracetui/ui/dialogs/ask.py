"""One line to type, checked while it is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tracetui.errors import InputError
from tracetui.expr.errors import BadExpressionError
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.foreign import safe
from tracetui.ui.widgets.line_input import LineInput

Check = Callable[[str], object]
"""Raises InputError for a line that can't be taken."""


class AskScreen(Dialog[str | None]):
    """The answer is the line once it passes its check, or None; below the line stands what is wrong and where."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave", show=False, id="leave")]

    def __init__(
        self, title: str, hint: str, check: Check, typed: str = "", titled: Callable[[str], str] | None = None
    ) -> None:
        """`titled` makes the title anew of each line that passes."""
        super().__init__()
        self._title = title
        self._titled = titled
        self._hint = f"{hint} · Ctrl+U empties the line" if typed else hint
        self._check = check
        self._typed = typed

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="ask"):
            yield Static(safe(self._title), classes="dialog-title")
            yield LineInput(self._typed, compact=True, select_on_focus=False)
            yield Static(id="ask-caret", markup=False)
            yield Static(id="ask-told", markup=False)

    def on_mount(self) -> None:
        self._tell(self._typed)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._tell(event.value)

    def _tell(self, typed: str) -> InputError | None:
        """Show what is wrong with a line; an empty one, and the one begun with, get the hint."""
        problem = None
        try:
            self._check(typed)
        except InputError as error:
            problem = error
        if problem is None and self._titled is not None:
            self.query_one(".dialog-title", Static).update(safe(self._titled(typed)))
        quiet = problem is None or typed.strip() in ("", self._typed.strip())
        text = self._hint if quiet else _words(problem)
        self.query_one("#ask-told", Static).update(
            Content.styled(visible(text, 1000), "$quiet" if quiet else "$waiting")
        )
        at = problem.column if isinstance(problem, BadExpressionError) and not quiet else None
        self.query_one("#ask-caret", Static).update(self._caret(at))
        return problem

    def _caret(self, at: int | None) -> Content:
        """Under the place, as long as the line isn't scrolled."""
        line = self.query_one(LineInput)
        if at is None or line.scroll_offset.x:
            return Content("")
        return Content.styled(f"{' ' * (line._position_to_cell(at) + 1)}▲", "$waiting")

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        if self._tell(event.value) is None:
            self.dismiss(event.value)
        else:
            self.app.bell()

    def action_leave(self) -> None:
        self.dismiss(None)


def _words(problem: InputError | None) -> str:
    return problem.problem if isinstance(problem, BadExpressionError) else str(problem or "")

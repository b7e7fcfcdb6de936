"""The model's own code behind a record."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ScrollableContainer, Vertical
from textual.content import Content
from textual.highlight import highlight
from textual.widgets import Static

from tracetui.debugger.session import Sourced
from tracetui.text import visible
from tracetui.ui.dialogs.dialog import Dialog
from tracetui.ui.dialogs.dialog_keys import CLOSE, DialogKeys
from tracetui.ui.reader import read_in_background

_ABOVE = 4
"""Lines shown above the one that is looked at."""
_WIDEST = 400
_TAB = 4


class SourceScreen(Dialog[None]):
    """One class, scrolled to its forward or to the line behind the record."""

    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,v,q,enter", "dismiss(None)", "close", show=False, id="source_close"),
        Binding("down,j", "scroll(0, 1)", "down", show=False, id="move_down"),
        Binding("up,k", "scroll(0, -1)", "up", show=False, id="move_up"),
        Binding("right,l", "scroll(8, 0)", "right", show=False, id="move_right"),
        Binding("left,h", "scroll(-8, 0)", "left", show=False, id="move_left"),
    ]

    def __init__(self, source: Sourced) -> None:
        super().__init__()
        self._source = source

    def compose(self) -> ComposeResult:
        source = self._source
        where = f"{source.file}:{source.first + source.at}"
        title = " · ".join(part for part in (source.kind, source.says, source.path) if part)
        with Vertical(classes="dialog", id="source"):
            yield Static(Content(visible(title, _WIDEST)), classes="dialog-title source-line")
            yield Static(Content(visible(where, _WIDEST)), classes="source-line source-where")
            with ScrollableContainer(id="source-scroll"):
                yield Static(id="source-code")
            yield DialogKeys(CLOSE, ("arrows", "scroll", ""))

    def on_mount(self) -> None:
        # A class of a few hundred lines takes a moment to colour.
        read_in_background(self, "source", lambda: coloured(self._source), self._show)

    def _show(self, code: Content) -> None:
        self.query_one("#source-code", Static).update(code)
        self.call_after_refresh(self._to_the_line)

    def _to_the_line(self) -> None:
        top = max(0, self._source.at - _ABOVE)
        self.query_one("#source-scroll").scroll_to(y=top, animate=False, force=True)

    def action_scroll(self, right: int, down: int) -> None:
        self.query_one("#source-scroll").scroll_relative(x=right, y=down, animate=False)


def coloured(source: Sourced) -> Content:
    """The lines with their numbers, in the theme's colours for code; the one looked at has a mark."""
    lines = [visible(line.expandtabs(_TAB), _WIDEST) for line in source.lines]
    code = highlight("\n".join(lines), language="python").split("\n", allow_blank=True)
    width = len(str(source.first + len(lines)))
    return Content("\n").join(
        Content.assemble(
            ("▸" if place == source.at else " ", "bold $waiting"),
            (f"{source.first + place:>{width}}  ", "bold $waiting" if place == source.at else "$quiet"),
            line,
        )
        for place, line in enumerate(code[: len(lines)])
    )

"""The prompt as the model sees it: its tokens side by side, with the boundaries visible."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.trace.record import Token
from tracetui.ui.labels import PADDING, label_of, row_name
from tracetui.ui.messages import TokenChosen
from tracetui.ui.state import State


class TokenStrip(Widget):
    """One line of tokens on alternating ground; scrolls with the token cursor, a click sets it."""

    state: reactive[State] = reactive(State())

    def __init__(self) -> None:
        super().__init__()
        self._tokens: tuple[Token, ...] = ()
        self._labels: list[str] = []
        self._ends: list[int] = []
        self._left = 0

    def watch_state(self, state: State) -> None:
        if state.tokens is not self._tokens:
            self._tokens = state.tokens
            self._labels = [label_of(token) for token in state.tokens]
            if padding := state.longest - len(state.tokens):
                self._labels.append(f" {padding} × {PADDING} padding ")
            self._ends = list(accumulate(cell_len(label) for label in self._labels))
            self._left = 0

    def render(self) -> Content:
        count = Content.styled(self._heading(), "$quiet")
        room = max(1, self.size.width - count.cell_length)
        self._scroll(room)
        visible = self._visible(room)
        shown = Content.assemble(*(self._token(index) for index in visible))
        cut = self._left - self._start(visible.start) if visible else 0
        return Content.assemble(count, shown[cut:] if cut > 0 else shown)

    def on_click(self, event: events.Click) -> None:
        place = event.x - len(self._heading()) + self._left
        hit = next((index for index, end in enumerate(self._ends) if place < end), None)
        if hit is not None and place >= 0 and hit < len(self._tokens):
            self.post_message(TokenChosen(hit))

    def _heading(self) -> str:
        if not self._tokens:
            return " no tokens yet"
        row = row_name(self.state.batch, len(self.state.trace.tokens))
        return f" {row and f'{row} · '}{len(self._tokens)} tokens "

    def _start(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def _scroll(self, room: int) -> None:
        """Bring the token cursor into view, with a few cells of what lies around it."""
        if 0 <= self.state.token < len(self._tokens):
            start, end = self._start(self.state.token), self._ends[self.state.token]
            if start < self._left:
                self._left = max(0, start - room // 4)
            elif end > self._left + room:
                self._left = end - room + room // 4
        self._left = max(0, min(self._left, (self._ends[-1] if self._ends else 0) - room))

    def _visible(self, room: int) -> range:
        """The tokens of which at least a part is in view."""
        last = bisect_left(self._ends, self._left + room)
        return range(bisect_right(self._ends, self._left), min(len(self._ends), last + 1))

    def _token(self, index: int) -> tuple[str, str]:
        if index >= len(self._tokens):
            return self._labels[index], "italic $quiet"
        if index == self.state.token:
            return self._labels[index], "bold $cursor-text on $cursor"
        ground = "$boost" if index % 2 else "$panel"
        colour = "$quiet" if self._tokens[index].special else "$foreground"
        return self._labels[index], f"{colour} on {ground}"

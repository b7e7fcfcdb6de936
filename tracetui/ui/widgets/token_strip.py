"""The prompt as the model sees it: its tokens side by side, with the boundaries visible."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import accumulate

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from tracetui.debugger.labels import PADDING, label_of, row_name
from tracetui.debugger.state import ScreenState
from tracetui.recording.record import Token
from tracetui.ui.messages import TokenChosen
from tracetui.views.cells import fit

_BETWEEN, _BEFORE, _AFTER = "│", "‹", "›"
_GOES_ON = "»"
"""Between the prompt and what the model added to it."""
_MARK = "bold $waiting"


class TokenStrip(Widget):
    """One line of tokens with a rule between two; scrolls with the token cursor, a click sets it."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self) -> None:
        super().__init__()
        self._tokens: tuple[Token, ...] = ()
        self._labels: list[str] = []
        self._starts: list[int] = [0]
        """Where each token begins, in cells from the first one's begin; the last entry is where all end."""
        self._first = 0

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if _shown_of(state) != _shown_of(old):
            self.refresh()
        if state.tokens is not self._tokens:
            self._tokens = state.tokens
            self._labels = [label_of(token) for token in state.tokens]
            if (padding := state.longest - len(state.tokens)) > 0:
                self._labels.append(f" {padding} × {PADDING} padding ")
            self._starts = list(accumulate((cell_len(label) + len(_BETWEEN) for label in self._labels), initial=0))
            # What the model adds is followed; a prompt is read from its beginning.
            self._first = len(self._labels) if state.generated else 0

    def render(self) -> Content:
        heading = self._heading()
        room = max(1, self.size.width - len(heading))
        self._scroll(room - len(_BEFORE) - len(_AFTER))
        parts = [(heading, "$quiet")]
        if self._first:
            parts.append((_BEFORE, _MARK))
            room -= len(_BEFORE)
        return Content.assemble(*parts, *self._shown(room))

    def on_click(self, event: events.Click) -> None:
        place = event.x - len(self._heading()) - len(_BEFORE if self._first else "")
        hit = bisect_right(self._starts, place + self._starts[self._first]) - 1
        if place >= 0 and hit < len(self._tokens):
            self.post_message(TokenChosen(hit))

    def _heading(self) -> str:
        if not self._tokens:
            return " no token ids among the inputs" if self.state.frontier else " no tokens yet"
        row = row_name(self.state.batch, len(self.state.trace.tokens))
        made = self.state.generated
        count = f"{len(self._tokens) - made} + {made}" if made else f"{len(self._tokens)}"
        return f" {row and f'{row} · '}{count} tokens "

    def _scroll(self, room: int) -> None:
        """Bring the token cursor into view, with a few cells of what lies around it."""
        token = self.state.token
        if 0 <= token < len(self._tokens):
            if token < self._first:
                self._first = bisect_left(self._starts, self._starts[token] - room // 4)
            elif self._starts[token + 1] - self._starts[self._first] > room:
                self._first = min(token, bisect_left(self._starts, self._starts[token + 1] - room * 3 // 4))
        # No room stays empty at the end.
        self._first = min(self._first, bisect_left(self._starts, max(0, self._starts[-1] - len(_BETWEEN) - room)))

    def _shown(self, room: int) -> Iterator[tuple[str, str]]:
        """Labels and what stands between them; where more follow than there is room for, a mark at the end."""
        last = len(self._labels) - 1
        for index in range(self._first, last + 1):
            label, style = self._labels[index], self._style(index)
            width = cell_len(label)
            if width + (len(_BETWEEN) + len(_AFTER) if index < last else 0) > room:
                yield fit(label, room - len(_AFTER)), style
                yield _AFTER, _MARK
                return
            yield label, style
            if index < last:
                yield (_GOES_ON, _MARK) if index + 1 == self._first_generated else (_BETWEEN, "$rule")
            room -= width + len(_BETWEEN)

    def _style(self, index: int) -> str:
        if index >= len(self._tokens):
            return "italic $quiet"
        if index == self.state.token:
            return "bold $cursor-text on $cursor"
        if index >= self._first_generated:
            return "italic $accent"
        return "$quiet" if self._tokens[index].special else "$foreground"

    @property
    def _first_generated(self) -> int:
        return len(self._tokens) - self.state.generated


def _shown_of(state: ScreenState) -> tuple[object, ...]:
    """What decides what the line shows."""
    trace = state.trace
    return state.tokens, state.token, state.generated, state.longest, state.batch, len(trace.tokens), state.frontier > 0

"""Pane 5: what the model would say next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from textwrap import wrap
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive

from tracetui.analysis.prediction import Prediction, next_tokens
from tracetui.text import number, token_text, visible
from tracetui.trace.trace import Trace
from tracetui.trace.value import NotKeptError
from tracetui.ui.labels import label_of, row_name
from tracetui.ui.reader import look
from tracetui.ui.state import State
from tracetui.ui.widgets.canvas import Canvas
from tracetui.views.bars import prediction_lines
from tracetui.views.cells import Line, blank, line
from tracetui.views.inks import Inks

_MOST = 100
_LATER = "The next tokens appear here when the run is at its end."
_NOT_KEPT = "The logits were not kept, only their statistics (--keep, --values)."


@dataclass(frozen=True, eq=False, slots=True)
class Next:
    """The likeliest tokens after one prompt of a trace."""

    trace: Trace
    batch: int
    predictions: tuple[Prediction, ...]
    kept: bool = True
    """Whether the logits can be read."""


class LogitsPane(Canvas, can_focus=True):
    """The table once there are logits, with what must be known beside it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="move_up"),
        Binding("down,j", "move(1)", "down", show=False, id="move_down"),
        Binding("pageup", "move(-10)", "page up", show=False, id="page_up"),
        Binding("pagedown", "move(10)", "page down", show=False, id="page_down"),
    ]
    state: reactive[State] = reactive(State())

    class Read(Message):
        def __init__(self, found: Next) -> None:
            super().__init__()
            self.found = found

    def __init__(self) -> None:
        super().__init__(id="logits", classes="pane")
        self._found = Next(State().trace, 0, ())
        self._line = 0

    def watch_state(self, old: State, state: State) -> None:
        fresh = state.trace is not old.trace or state.batch != old.batch
        if fresh:
            self._found, self._line = Next(state.trace, state.batch, ()), 0
        if (fresh or state.frontier != old.frontier) and _has_logits(state):
            look(self, "logits", partial(_read, state.trace, state.batch))
        self.repaint()

    @on(Read)
    def _show(self, message: Read) -> None:
        if message.found.trace is self.state.trace and message.found.batch == self.state.batch:
            self._found = message.found
            self.repaint()

    def copied(self) -> str:
        """The line the user is on, in words."""
        if not self._found.predictions:
            return ""
        found = self._found.predictions[self._line]
        text = token_text(found.token.bytes)
        return f"{text} (id {found.token.id}) probability {number(found.probability)} logit {number(found.logit)}"

    def action_move(self, by: int) -> None:
        self._line = max(0, min(len(self._found.predictions) - 1, self._line + by))
        self.repaint()

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        notes = [
            line([(f" {part}", inks.mark)], width)
            for note in self._notes()
            for part in wrap(visible(note), max(8, width - 2))
        ]
        if not self._found.predictions:
            told = _LATER if self._found.kept else _NOT_KEPT
            words = wrap(told, max(8, width - 4))
            return [*notes, blank(width), *(line([(f"  {part}", inks.quiet)], width) for part in words)]
        room = max(2, height - len(notes) - 1)
        first = max(0, min(self._line - room // 2, len(self._found.predictions) - room + 1))
        table = prediction_lines(self._found.predictions, width - 2, room, inks, first=first, cursor=self._line)
        head = line([(self._position(), inks.text)], width)
        return [*notes, head, *([*blank(1), *row, *blank(1)] for row in table)]

    def _notes(self) -> tuple[str, ...]:
        notes = self.state.trace.run.notes or self.state.notes
        if any(not found.token.bytes for found in self._found.predictions):
            return (*notes, "#id: that token is not in the tokenizer in use")
        return notes

    def _position(self) -> str:
        """After which token the predictions come."""
        tokens = self.state.tokens
        row = row_name(self.state.batch, len(self.state.trace.tokens))
        return f" {row and f'{row}, '}after token {len(tokens) - 1} “{label_of(tokens[-1])}”" if tokens else ""


def _has_logits(state: State) -> bool:
    """Whether the last record is the model's output; only the end of a run brings it."""
    return state.frontier > 0 and state.trace.find("logits") is not None


def _read(trace: Trace, batch: int) -> LogitsPane.Read:
    try:
        return LogitsPane.Read(Next(trace, batch, next_tokens(trace, _MOST, batch)))
    except NotKeptError:
        return LogitsPane.Read(Next(trace, batch, (), kept=False))

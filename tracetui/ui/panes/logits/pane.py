"""Pane 5: what the model would say next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from textwrap import wrap
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tracetui.analysis.prediction import Prediction, last_position, next_tokens, scores_of_tokens
from tracetui.debugger.labels import row_name
from tracetui.debugger.state import ScreenState
from tracetui.recording.trace import Trace, is_reassuring
from tracetui.recording.value import NotKeptError
from tracetui.text import number, token_text, visible
from tracetui.ui.panes.pane import ReadingPane
from tracetui.ui.widgets.canvas import Canvas
from tracetui.ui.widgets.list_keys import LINE_KEYS
from tracetui.views.cells import Line, blank, line
from tracetui.views.charts.bars import prediction_lines
from tracetui.views.inks import Inks
from tracetui.views.run.generated import cache_line
from tracetui.views.tokens import token_in

_MOST = 100
_HEADS = 2
"""Lines between the notes and the tokens."""
_LATER = "The next tokens appear here when the run is at its end."
_NO_SCORES = "What this model returned is not known to be a score for every token, so that no next token is told."
_ALL_NAN = "Every logit here is NaN: no token is likelier than another. ! tells which record made the first NaN."
_NOT_KEPT = "The logits were not kept, only their statistics (--keep, --values)."


@dataclass(frozen=True, eq=False, slots=True)
class Next:
    """The likeliest tokens after one prompt of a trace, or after one that the model added."""

    trace: Trace
    batch: int
    position: int
    predictions: tuple[Prediction, ...]
    kept: bool = True
    """Whether the logits can be read."""
    read: bool = False
    """Whether they have been."""


class LogitsPane(ReadingPane[Next], Canvas, can_focus=True):
    """The table once there are logits, with what must be known beside it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *LINE_KEYS,
        Binding("pageup", "move(-10)", "page up", show=False, id="page_up"),
        Binding("pagedown", "move(10)", "page down", show=False, id="page_down"),
    ]

    def __init__(self) -> None:
        super().__init__("logits")
        self._found = Next(ScreenState().trace, 0, -1, ())
        self._line = 0
        self._above = 0
        """Lines above the likeliest token's, less those of tokens above what is in sight."""
        self._drawn_of: tuple[object, ...] = ()

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        position = _position(state)
        same = (state.trace, state.batch, position) == (self._found.trace, self._found.batch, self._found.position)
        if not same:
            self._found, self._line = Next(state.trace, state.batch, position, ()), 0
        if (not same or state.frontier != old.frontier) and position >= 0:
            self.look()
        if not self.is_mounted or self._shown_of() != self._drawn_of:
            self.repaint()

    def _shown_of(self) -> tuple[object, ...]:
        """What decides what is drawn."""
        return self._found, self.state.trace, self.state.notes, self.state.batch

    def looks_at(self, state: ScreenState) -> object:
        return state.trace, self._found.batch, self._found.position

    def reading(self, state: ScreenState) -> Callable[[], Next]:
        return partial(_read, state.trace, state.batch, self._found.position)

    def show(self, predicted: Next) -> None:
        self._found = predicted
        self.repaint()

    def copied(self) -> str:
        """The line the user is on, in words."""
        if not self._found.predictions:
            return ""
        next_ = self._found.predictions[min(self._line, len(self._found.predictions) - 1)]
        text = token_text(next_.token.bytes)
        return f"{text} (id {next_.token.id}) probability {number(next_.probability)} logit {number(next_.logit)}"

    def action_move(self, by: int) -> None:
        self._line = max(0, min(len(self._found.predictions) - 1, self._line + by))
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        """To the token that was clicked."""
        place = event.get_content_offset(self)
        line = place.y - self._above if place else -1
        if 0 <= line < len(self._found.predictions):
            self.action_move(line - self._line)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def lines(self, width: int, height: int, inks: Inks) -> list[Line]:
        self._drawn_of = self._shown_of()
        notes = [
            line([(f" {part}", inks.mark)], width)
            for note in self._notes()
            for part in wrap(visible(note), max(8, width - 2))
        ]
        if not self._found.predictions:
            absence = _NOT_KEPT if not self._found.kept else self._reason
            words = wrap(absence, max(8, width - 4))
            return [*notes, blank(width), *(line([(f"  {part}", inks.quiet)], width) for part in words)]
        room = max(2, height - len(notes) - 1)
        first = max(0, min(self._line - room // 2, len(self._found.predictions) - room + 1))
        self._above = len(notes) + _HEADS - first
        table = prediction_lines(self._found.predictions, width - 2, room, inks, first=first, cursor=self._line)
        cache = cache_line(self.state.trace, self._pass)
        head = line([(self._position(), inks.text), (cache and f"   {cache}", inks.quiet)], width)
        return [*notes, head, *([*blank(1), *row, *blank(1)] for row in table)]

    @property
    def _reason(self) -> str:
        """Why there is no next token."""
        trace = self.state.trace
        if self._found.read:
            return _ALL_NAN
        is_over = bool(trace.records) and trace.complete and trace.records[-1].index < self.state.frontier
        return _NO_SCORES if is_over and scores_of_tokens(trace) is None else _LATER

    def _notes(self) -> tuple[str, ...]:
        notes = tuple(note for note in self.state.trace.run.notes or self.state.notes if not is_reassuring(note))
        is_named = self.state.trace.find("logits") is not None
        if is_named and any(not prediction.token.bytes for prediction in self._found.predictions):
            return (*notes, "#id: that token is not in the tokenizer in use")
        return notes

    def _position(self) -> str:
        """After which token the predictions come."""
        tokens, position = self.state.tokens, self._found.position
        row = row_name(self.state.batch, len(self.state.trace.tokens))
        return f" {row and f'{row}, '}after {token_in(tokens, position)}" if tokens else ""

    @property
    def _pass(self) -> int:
        """The pass that made the predictions on view."""
        lengths = self.state.trace.prompt_lengths
        return self._found.position - lengths[self.state.batch] + 1 if self.state.batch < len(lengths) else -1


def _position(state: ScreenState) -> int:
    """The position after which the pass at the cursor predicts, else the last one before it; -1 without logits."""
    pass_ = next((p for p in range(state.record.pass_, -1, -1) if _has_logits(state, p)), None)
    if pass_ is None:
        return -1
    return last_position(state.trace, state.batch, pass_) if state.tokens else 0


def _has_logits(state: ScreenState, pass_: int) -> bool:
    record = scores_of_tokens(state.trace, pass_)
    return record is not None and record.index < state.frontier


def _read(trace: Trace, batch: int, position: int) -> Next:
    last = position if trace.tokens else -1
    try:
        return Next(trace, batch, position, next_tokens(trace, _MOST, batch, last), read=True)
    except NotKeptError:
        return Next(trace, batch, position, (), kept=False)

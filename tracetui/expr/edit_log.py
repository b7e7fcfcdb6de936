"""The edits of a run, with the records from and to which each applied: enough to repeat the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue

from tracetui.expr.edit import Edit, plain_edits


@dataclass(frozen=True, slots=True)
class _EditSpan:
    """One edit as it was given, and the records of the run in which it stood."""

    edit: Edit
    first: int = 0
    last: int | None = None

    @property
    def kept(self) -> Edit:
        """As the run keeps it."""
        made = self.edit.made_at(self.first)
        return made if self.last is None else made.ended_at(self.last)


class EditLog:
    """The edits of one run. Any thread may ask for other edits; only the model's thread applies them.

    So the log always says with which edits a record was made: the asking thread can't know how far the model is.
    """

    def __init__(self, edits: Sequence[Edit] = ()) -> None:
        self._spans = tuple(_EditSpan(edit) for edit in {edit.text: edit for edit in edits if edit.on}.values())
        self._asked: SimpleQueue[tuple[tuple[Edit, ...], int]] = SimpleQueue()
        self.edits: tuple[Edit, ...] = ()
        """All that a run had, each for the records from its first to its last."""
        self.idle = True
        """Whether the run has had no edit, and none was asked for."""
        self.changed: Callable[[list[str]], None] = lambda plain: None
        """Hears the edits as a run keeps them, when they are others."""
        self._tell()

    def ask(self, edits: Sequence[Edit], at: int) -> None:
        """Have other edits stand from a record on, or from the next one that is made if that is further."""
        self._asked.put((tuple(edits), at))
        self.idle = False

    def now(self, record: int) -> tuple[Edit, ...]:
        """All edits, for a run whose next record is this one, or that waits at this one."""
        while not self._asked.empty():
            edits, at = self._asked.get()
            self._change(edits, max(at, record))
            # What is asked for meanwhile says so itself, after it is in the queue.
            self.idle = not self.edits and self._asked.empty()
        return self.edits

    def take_up(self, past: EditLog, at: int) -> None:
        """Continue another run's log at a record: its edits until then, this log's from there on."""
        edits = [span.edit for span in self._spans if span.last is None]
        stood = (span for span in past._spans if span.first < at)
        self._spans = tuple(
            span if span.last is not None and span.last <= at else replace(span, last=None) for span in stood
        )
        self._change(edits, at)

    def _change(self, edits: Sequence[Edit], at: int) -> None:
        """Other edits from a record on; what stood before ends there."""
        edits_on = {edit.text: edit for edit in edits if edit.on}
        standing = {span.edit.text: span for span in self._spans if span.last is None}
        ended = (replace(span, last=at) for text, span in standing.items() if text not in edits_on and span.first < at)
        over = (span for span in self._spans if span.last is not None)
        now = (standing.get(text) or _EditSpan(edit, at) for text, edit in edits_on.items())
        self._spans = (*over, *ended, *now)
        self._tell()

    def _tell(self) -> None:
        self.edits = tuple(span.kept for span in self._spans)
        self.idle = self.idle and not self.edits
        self.changed(plain_edits(self.edits))

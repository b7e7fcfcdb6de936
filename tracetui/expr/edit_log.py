"""Which edits a run had, and from which record to which: enough to do the same again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tracetui.expr.edit import Edit, plain_edits


@dataclass(frozen=True, slots=True)
class _Span:
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
    """The edits of one run. Changed by whoever gives them, read by the model's thread."""

    def __init__(self, edits: Sequence[Edit] = ()) -> None:
        self._spans = tuple(_Span(edit) for edit in {edit.text: edit for edit in edits if edit.on}.values())
        self.edits: tuple[Edit, ...] = ()
        """All that a run had, each for the records from its first to its last."""
        self.changed: Callable[[list[str]], None] = lambda plain: None
        """Hears the edits as a run keeps them, when they are others."""
        self._tell()

    def change(self, edits: Sequence[Edit], at: int) -> None:
        """Other edits from a record on; what stood before ends there."""
        wanted = {edit.text: edit for edit in edits if edit.on}
        standing = {span.edit.text: span for span in self._spans if span.last is None}
        ended = (replace(span, last=at) for text, span in standing.items() if text not in wanted and span.first < at)
        over = (span for span in self._spans if span.last is not None)
        now = (standing.get(text) or _Span(edit, at) for text, edit in wanted.items())
        self._spans = (*over, *ended, *now)
        self._tell()

    def take_up(self, past: EditLog, at: int) -> None:
        """Stand for a run that is taken up again at a record: what that one had until then, and these from there on."""
        wanted = [span.edit for span in self._spans if span.last is None]
        stood = (span for span in past._spans if span.first < at)
        self._spans = tuple(
            span if span.last is not None and span.last <= at else replace(span, last=None) for span in stood
        )
        self.change(wanted, at)

    def _tell(self) -> None:
        self.edits = tuple(span.kept for span in self._spans)
        self.changed(plain_edits(self.edits))

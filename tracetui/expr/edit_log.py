"""Which edits a run had, and from which record to which: enough to do the same again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tracetui.expr.edit import Edit, plain_edits


class EditLog:
    """The edits of one run. Changed by whoever gives them, read by the model's thread."""

    def __init__(self, edits: Sequence[Edit] = ()) -> None:
        self._standing = {edit.text: edit for edit in edits if edit.on}
        self._over: tuple[Edit, ...] = ()
        self.edits: tuple[Edit, ...] = tuple(self._standing.values())
        """All that a run had, each for the records from its first to its last."""
        self.changed: Callable[[list[str]], None] = lambda plain: None
        """Hears the edits as a run keeps them, when they are others."""

    def change(self, edits: Sequence[Edit], at: int) -> None:
        """Other edits from a record on; what stood before ends there."""
        wanted = {edit.text: edit for edit in edits if edit.on}
        ended = [edit for text, edit in self._standing.items() if text not in wanted and edit.first < at]
        self._over = (*self._over, *(edit.ended_at(at) for edit in ended))
        self._standing = {text: self._standing.get(text) or edit.made_at(at) for text, edit in wanted.items()}
        self.edits = (*self._over, *self._standing.values())
        self.changed(plain_edits(self.edits))

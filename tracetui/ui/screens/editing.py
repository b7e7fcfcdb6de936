"""What the debugger does about edits: every such command is an action here."""

from __future__ import annotations

from collections.abc import Mapping

from tracetui.expr.edit import Edit, parse_edit
from tracetui.session import Event, Finished, Tallied
from tracetui.ui.driver import Driver
from tracetui.ui.edits import offered
from tracetui.ui.messages import Said
from tracetui.ui.offer import Offer
from tracetui.ui.screens.ask import AskScreen
from tracetui.ui.screens.edits import EditsScreen
from tracetui.ui.screens.stopping import StoppingScreen
from tracetui.ui.widgets.module_list import ModuleList
from tracetui.views.edit_lines import unapplied_lines

_HINT = "SITE [head N | expert N | […]]: ACTION; zero, scale X, noise STD, set X, clamp LO HI, skip, experts A,B"


class EditingScreen(StoppingScreen):
    """Stops, and the commands about edits."""

    def __init__(self, offer: Offer, keymap: Mapping[str, str]) -> None:
        super().__init__(offer, keymap)
        self._driver = Driver(offer.stops, offer.edits)
        self._unapplied: tuple[str, ...] = ()

    def hear_edits(self, event: Event) -> None:
        """What changed nothing is told when the run is over."""
        if isinstance(event, Tallied):
            self._unapplied = tuple(unapplied_lines(event.edits))
        elif isinstance(event, Finished):
            if self._unapplied and not event.cancelled:
                self.post_message(Said("\n".join(self._unapplied)))
            self._unapplied = ()

    def action_edit(self) -> None:
        """Type an edit of the record looked at, or of the tree's line where the tree has the keys."""
        if remark := self._keeps_from_editing():
            self._refresh(remark)
            return
        tree = self.query_one(ModuleList)
        begun = f"{tree.stop_pattern}: " if tree.has_focus and tree.stop_pattern else offered(self.state.record)
        self.app.push_screen(AskScreen("Edit", _HINT, parse_edit, begun), self._edit_typed)

    def _keeps_from_editing(self) -> str:
        if self._offer.recording:
            return f"this is a recording: {self._offer.recording}"
        return "the model runs; Space stops it, and then it can be edited" if self.state.running else ""

    def _edit_typed(self, typed: str | None) -> None:
        if typed is not None:
            self._refresh(self._driver.edit(parse_edit(typed)))

    def action_edits(self) -> None:
        """The list of edits."""
        if not self.state.edits:
            self._refresh("there are no edits; E makes one")
            return
        self.app.push_screen(EditsScreen(lambda: self._driver.state.edits, self._set_edits), self._edits_left)

    def _set_edits(self, edits: tuple[Edit, ...]) -> bool:
        remark = self._keeps_from_editing()
        self._refresh(remark or self._driver.set_edits(edits))
        return not remark

    def _edits_left(self, another: bool | None) -> None:
        if another:
            self.action_edit()

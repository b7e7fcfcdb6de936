"""What the debugger does about edits: every such command is an action here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tracetui.debugger.baseline import Baseline
from tracetui.debugger.driver import Driver
from tracetui.debugger.edits import offered
from tracetui.debugger.rerun import changed_at, keeps_from_rerunning, looks_back
from tracetui.debugger.session import Event, Finished, Started, Stopped, Tallied
from tracetui.debugger.start_page import StartPage
from tracetui.expr.edit import Edit
from tracetui.expr.edit_parse import parse_edit
from tracetui.recording.cut import FROM_THE_START, cut_before
from tracetui.ui.debugger_screen.stopping import StoppingScreen
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.ui.dialogs.edits import EditsScreen
from tracetui.ui.messages import Said
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.reader import read_in_background
from tracetui.views.run.cut import cut_line, taken_line
from tracetui.views.run.edits import unapplied_lines

_HINT = "SITE [head N | expert N | […]]: ACTION, such as zero, scale X, noise STD, set X, clamp LO HI, replace @F, skip"


class EditingScreen(StoppingScreen):
    """Stops, and the commands about edits."""

    def __init__(self, offer: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__(offer, keymap)
        self._driver = Driver(offer.stops, offer.edits)
        self._unapplied: tuple[str, ...] = ()
        self.baseline = Baseline()
        self._taken = ""
        """What the run that began takes over of the one before, to be told when it stops."""

    def hear_edits(self, event: Event) -> None:
        """What changed nothing is told when the run is over."""
        self.baseline.hear(event)
        if isinstance(event, Tallied):
            self._unapplied = tuple(unapplied_lines(event.edits))
        elif isinstance(event, Started):
            self._taken = "" if event.cut is FROM_THE_START else taken_line(event.cut)
        elif isinstance(event, Finished):
            if self._unapplied and not event.cancelled:
                self.post_message(Said("\n".join(self._unapplied)))
            self._unapplied = ()
        if isinstance(event, Stopped | Finished) and self._taken:
            self._refresh(self._taken)
            self._taken = ""

    def action_edit(self) -> None:
        """Type an edit of the record looked at, or of the tree's line where the tree has the keys."""
        if remark := self._keeps_from_editing():
            self._refresh(remark)
            return
        tree = self.query_one(ModuleList)
        begun = f"{tree.stop_pattern}: " if tree.has_focus and tree.stop_pattern else offered(self.state.record)
        self.app.push_screen(AskScreen(self._titled(), _HINT, parse_edit, begun, self._titled), self._edit_typed)

    def _titled(self, typed: str = "") -> str:
        """What an edit will have run, once one is typed."""
        if not looks_back(self.state):
            return "Edit"
        cursor = self.state.cursor
        at = changed_at(parse_edit(typed), self.state.trace, cursor) if typed else cursor
        return f"Edit, then run {self._again(at)}"

    def _again(self, at: int) -> str:
        """What is done to come to a record once more, in words."""
        return cut_line(cut_before(self.state.trace, at), self.state.trace, at)

    def action_rerun(self) -> None:
        """The run again from the layer of the record looked at on, with the edits and stops as they are now."""
        remark = self._keeps_from_editing() or keeps_from_rerunning(self.state)
        again = "" if remark else self._again(self.state.cursor)
        self._refresh(remark or self._driver.rerun(self.state.cursor) or again)

    def _keeps_from_editing(self) -> str:
        if self._offer.recording:
            return f"this is a recording: {self._offer.recording}"
        return "the model runs; Space stops it, and then it can be edited" if self.state.running else ""

    def _edit_typed(self, typed: str | None) -> None:
        if typed is None:
            return
        edit = parse_edit(typed)
        if edit.action.source is None:
            self._refresh(self._driver.edit(edit))
        else:
            self._refresh("the other trace is being looked at")
            read_in_background(self, "edit", partial(_checked, edit), self._edit_checked)

    def _edit_checked(self, edit: Edit) -> None:
        """What it takes from another trace is there."""
        self._refresh(self._keeps_from_editing() or self._driver.edit(edit))

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


def _checked(edit: Edit) -> Edit:
    from tracetui.expr.replacement import check_sources

    check_sources((edit,), "edit")
    return edit

"""Edits: typed, listed, run again with, and compared with the run that had none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tracetui.debugger.baseline import Baseline, edits_said
from tracetui.debugger.edits import offered
from tracetui.debugger.log.level import Level
from tracetui.debugger.no_step import nothing_yet
from tracetui.debugger.rerun import changed_at, keeps_from_rerunning, looks_back
from tracetui.debugger.session import Event, Finished, Started, Stopped, Tallied
from tracetui.expr.edit import Edit
from tracetui.expr.edit_parse import parse_edit
from tracetui.recording.cut import FROM_THE_START, cut_before
from tracetui.ui.debugger_screen.host import Handlers, Host, TreeLine
from tracetui.ui.debugger_screen.questions import LineQuestions
from tracetui.ui.dialogs.ask import AskScreen
from tracetui.views.run.cut import cut_line, taken_line
from tracetui.views.run.edits import unapplied_lines


class EditActions:
    """Every command about edits."""

    def __init__(
        self, host: Host, line: TreeLine, questions: LineQuestions, recording: str, keymap: Mapping[str, str]
    ) -> None:
        """recording: of what there is nothing to run for, in words; empty for a model."""
        self._host = host
        self._line = line
        self._questions = questions
        self._recording = recording
        self._keymap = keymap
        self._unapplied: tuple[str, ...] = ()
        self._taken = ""
        """What the run that began takes over of the one before, to be told when it stops."""
        self.baseline = Baseline()

    @property
    def handlers(self) -> Handlers:
        return {"edit": self.edit, "edits": self.open_list, "rerun": self.rerun, "effects": self.effects}

    def hear(self, event: Event) -> None:
        """What changed nothing is told when the run is over."""
        self.baseline.hear(event)
        if isinstance(event, Tallied):
            self._unapplied = tuple(unapplied_lines(event.edits))
        elif isinstance(event, Started):
            self._taken = "" if event.cut is FROM_THE_START else taken_line(event.cut)
        elif isinstance(event, Finished):
            for text in () if event.cancelled else self._unapplied:
                self._host.say(text, Level.WARNING)
            self._unapplied = ()
        if isinstance(event, Stopped | Finished) and self._taken:
            self._host.show(self._taken)
            self._taken = ""

    def edit(self) -> None:
        """Type an edit of the record looked at, or of the tree's line where the tree has the keys."""
        if remark := self._keeps_from_editing():
            self._host.show(remark)
            return
        line = self._line
        of_line = line.has_focus and line.stop_pattern
        begun = f"{line.stop_pattern}: " if of_line else offered(self._host.state.record)
        self._host.push(AskScreen(self._questions.edit(self._titled(), begun, self._titled)), self.typed)

    def _titled(self, typed: str = "") -> str:
        """What an edit will have run, once one is typed."""
        state = self._host.state
        if not looks_back(state):
            return "Edit"
        at = changed_at(parse_edit(typed), state.trace, state.cursor) if typed else state.cursor
        return f"Edit, then run {self._again(at)}"

    def _again(self, at: int) -> str:
        """What is done to come to a record once more, in words."""
        trace = self._host.state.trace
        return cut_line(cut_before(trace, at), trace, at)

    def rerun(self) -> None:
        """The run again from the layer of the record looked at on, with the edits and stops as they are now."""
        cursor = self._host.state.cursor
        remark = self._keeps_from_editing() or keeps_from_rerunning(self._host.state)
        again = "" if remark else self._again(cursor)
        self._host.show(remark or self._host.driver.rerun(cursor) or again)

    def _keeps_from_editing(self) -> str:
        if self._recording:
            return f"this is a recording: {self._recording}"
        return "the model runs; Space stops it, and then it can be edited" if self._host.state.running else ""

    def typed(self, typed: str | None) -> None:
        """An edit was typed; what it takes from another trace is read first."""
        if typed is None:
            return
        edit = parse_edit(typed)
        if edit.head is not None:
            # What was changed is what one wants to see.
            self._host.driver.state = replace(self._host.state, head=edit.head)
        if edit.action.source is None:
            self._host.show(self._host.driver.edit(edit))
        else:
            self._host.show("the other trace is being looked at")
            self._host.read("edit", partial(_checked, edit), self._checked)

    def _checked(self, edit: Edit) -> None:
        self._host.show(self._keeps_from_editing() or self._host.driver.edit(edit))

    def open_list(self) -> None:
        """The edits: on and off, away, and another one."""
        if not self._host.state.edits:
            self._host.show(self._keeps_from_editing() if self._recording else "there are no edits; E makes one")
            return
        from tracetui.ui.dialogs.edits import EditsScreen

        self._host.push(EditsScreen(lambda: self._host.state.edits, self._set), self._list_left)

    def _set(self, edits: tuple[Edit, ...]) -> bool:
        remark = self._keeps_from_editing()
        self._host.show(remark or self._host.driver.set_edits(edits))
        return not remark

    def _list_left(self, another: bool | None) -> None:
        if another:
            self.edit()

    def effects(self) -> None:
        """The run so far beside the last one of the same prompt without edits, the reference."""
        state, baseline = self._host.state, self.baseline.trace
        if not state.frontier:
            self._host.show(nothing_yet(state))
        elif self._recording or not len(baseline):
            self._host.show(self._keeps_from_editing() if self._recording else self.baseline.why)
        else:
            from tracetui.ui.diff_screen.opening import diff_screen

            names = (f"this run{edits_said(state.trace)}", f"the run before{edits_said(baseline)}")
            self._host.push(diff_screen(state.trace, baseline, names, self._keymap, overview=True))


def _checked(edit: Edit) -> Edit:
    from tracetui.expr.replacement import check_sources

    check_sources((edit,), "edit")
    return edit

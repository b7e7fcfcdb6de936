"""From which record a run is taken up again, and where it stops then."""

from __future__ import annotations

from tracetui.debugger.edits import names
from tracetui.debugger.state import Phase, ScreenState
from tracetui.expr.edit import Edit
from tracetui.expr.matrices import edits_matrices
from tracetui.recording.cut import cut_before
from tracetui.recording.record import BEFORE_EDIT, Record, layer_path, when
from tracetui.recording.stepping import Target
from tracetui.recording.trace import Trace
from tracetui.text import visible


def keeps_from_rerunning(state: ScreenState) -> str:
    """Why no run can be taken up again now; empty if one can."""
    if state.phase is Phase.RECORDED:
        return "this is a recording: there is nothing to run"
    if state.running:
        return "the model runs; Space stops it, Esc cancels"
    if state.phase is Phase.PREPARING:
        return "the model is being prepared"
    return "" if state.cursor >= 0 else "nothing is recorded yet; Enter in the prompt runs it"


def looks_back(state: ScreenState) -> bool:
    """Whether the record looked at is behind where the model waits, if it does."""
    waits = state.phase is Phase.STOPPED and state.cursor == state.frontier - 1
    return not keeps_from_rerunning(state) and not waits


def changed_at(edit: Edit, trace: Trace, cursor: int) -> int:
    """The record to show an edit at: the cursor's if the edit changes it, else the next (or first) it changes."""
    if changes(edit, trace.records[cursor]):
        return cursor
    places = [record.index for record in trace.records if changes(edit, record)]
    start = cut_before(trace, cursor).record
    return next((place for place in places if place >= start), next(iter(places), cursor))


def behind(edit: Edit, trace: Trace) -> str:
    """A remark if an edit of a waiting model names a record that is already computed; else empty."""
    last = trace.records[-1].pass_
    done = next((record for record in reversed(trace.records) if record.pass_ == last and changes(edit, record)), None)
    return (
        f"; {visible(done.site, 80)} has run: go back to it (Ctrl+O), and A runs again from there"
        if done is not None
        else ""
    )


def changes(edit: Edit, record: Record) -> bool:
    """Whether an edit makes something else of a record."""
    if edit.pass_ not in (None, record.pass_):
        return False
    if record.role == "heads" and edits_matrices(record.module, edit):
        # The matrices themselves are recorded only once the layer is computed with the edit.
        return True
    return names(edit, record) or (record.role == "experts" and edit.chooses(record.module))


def reached(record: Record) -> Target:
    """A target: the record of the same name, or where it should have been by."""
    at = when(record.pass_)
    keys = {record.key, record.key.replace(f":{BEFORE_EDIT}", ""), f"{layer_path(record.site) or 'logits'}{at}"}
    return lambda new: new.key in keys

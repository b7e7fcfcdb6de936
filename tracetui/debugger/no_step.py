"""Why a step leads nowhere."""

from __future__ import annotations

from tracetui.debugger.module_rows import paths_of
from tracetui.debugger.state import Phase, ScreenState
from tracetui.recording.record import layer_of
from tracetui.recording.stepping import Step

NOTHING_YET = "nothing is recorded yet; Enter in the prompt runs it"


def nothing_yet(state: ScreenState) -> str:
    """Why there is no record to look at."""
    return "the recording holds no records" if state.phase is Phase.RECORDED else NOTHING_YET


def same_place(state: ScreenState, index: int) -> bool:
    """Whether the record at an index lies where the current one does, but in another layer."""
    one, other = state.record, state.trace.records[index]
    return one.layer != other.layer is not None and (one.site_in_layer, one.part) == (
        other.site_in_layer,
        other.part,
    )


def no_later_layer(state: ScreenState, found: int | None) -> str:
    """Why a step by layer, which would end at the record `found`, leads nowhere; empty if it does lead somewhere."""
    record = state.record
    here = record.layer
    if here is None or (found is not None and same_place(state, found)):
        return ""
    place = record.site_in_layer.partition(":")[0]
    stem = record.module.removesuffix(place).rpartition(".")[0]
    later = [(layer, path) for path in paths_of(state.outline) if (layer := layer_of(path) or 0) > here]
    if not later:
        return "this is the last layer"
    has_place = any(path == f"{stem}.{layer}{place}" for layer, path in later)
    return "" if found is None and has_place and state.under_way else "no later layer has this place"


def no_earlier_layer(state: ScreenState, index: int) -> str:
    """Why a step back by layer, which would end at a record, leads nowhere; empty if it does lead somewhere."""
    here = state.record.layer
    if here is None or same_place(state, index):
        return ""
    earlier = (record.layer for record in state.trace.records[: state.cursor])
    first = all(layer in (None, here) for layer in earlier)
    return "this is the first layer" if first else "no earlier layer has this place"


def no_earlier_pass(state: ScreenState) -> str:
    """Why there is no step back by pass."""
    if not state.frontier:
        return nothing_yet(state)
    return "no earlier pass has this place" if state.record.pass_ else "this is the first pass: the prompt's"


def no_later_record(state: ScreenState, step: Step) -> str:
    """Why a step forward leads nowhere, once the run has ended."""
    recording = state.phase is Phase.RECORDED
    if step is Step.LATER:
        return f"no later pass has this place{'' if recording else '; Ctrl+G lets the model go on'}"
    return f"this is the last record of the {'recording' if recording else 'run; r runs again'}"


def no_end_to_go_on_from(state: ScreenState) -> str:
    """Why the model can't generate from where its run stands; empty if it can."""
    if state.phase in (Phase.FINISHED, Phase.FAILED) and state.frontier:
        return ""
    if state.phase is Phase.CANCELLED:
        return "this run was left before its end; r runs the prompt again"
    return "the prompt's run has to end first; c runs it on" if state.under_way else nothing_yet(state)

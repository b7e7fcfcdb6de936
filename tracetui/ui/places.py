"""Why a step leads nowhere."""

from __future__ import annotations

from tracetui.trace.record import layer_of
from tracetui.ui.outline_rows import paths_of
from tracetui.ui.state import Phase, State

NOTHING_YET = "nothing is recorded yet; Enter in the prompt runs it"


def nothing_yet(state: State) -> str:
    """Why there is no record to look at."""
    return "the recording holds no records" if state.phase is Phase.RECORDED else NOTHING_YET


def same_place(state: State, index: int) -> bool:
    """Whether the record at an index lies where the current one does, but in another layer."""
    one, other = state.record, state.trace.records[index]
    return one.layer != other.layer is not None and (one.place, one.part) == (other.place, other.part)


def no_later_layer(state: State, found: int | None) -> str:
    """Why a step by layer, which would end at the record `found`, leads nowhere; empty if it does lead somewhere."""
    record = state.record
    here = record.layer
    if here is None or (found is not None and same_place(state, found)):
        return ""
    place = record.place.partition(":")[0]
    stem = record.module.removesuffix(place).rpartition(".")[0]
    later = [(layer, path) for path in paths_of(state.outline) if (layer := layer_of(path) or 0) > here]
    if not later:
        return "this is the last layer"
    has_place = any(path == f"{stem}.{layer}{place}" for layer, path in later)
    return "" if found is None and has_place and state.under_way else "no later layer has this place"

"""What pane 3 says where there is no attention to be shown."""

from __future__ import annotations

from tracetui.debugger.readings.attention import own_attention
from tracetui.debugger.state import Phase, ScreenState

_RUNS = "No attention at or before this record.\nEnter runs on to the next layer that computes some."
NONE = "No attention at or before this record. It is shown as soon as a layer has computed it."


_OWN = "{} computes attention itself, not through transformers' interface: scores can't be shown."
NOT_KEPT = "Queries and keys were not kept, only their statistics: scores can't be computed (--keep, --values)."


def why_none(state: ScreenState) -> str:
    """What keeps attention from being shown."""
    if own := own_attention(state):
        return _OWN.format(own)
    records = state.trace.records[state.cursor + 1 : state.frontier]
    later = next((record for record in records if record.role == "q"), None)
    if later:
        return f"No attention at or before this record.\nEnter goes to the next, in layer {later.layer}."
    return _RUNS if state.phase is Phase.STOPPED else NONE

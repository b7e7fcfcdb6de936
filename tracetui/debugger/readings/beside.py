"""Which records the next key probably leads to: what is shown of them can be read while nobody waits."""

from __future__ import annotations

from tracetui.debugger.state import ScreenState, backward, forward, layer_backward
from tracetui.recording.stepping import Step


def beside(state: ScreenState) -> tuple[int, ...]:
    """Indices of recorded records around the cursor, that of a step first; none while the model runs."""
    cursor = state.cursor
    if cursor < 0 or state.running:
        return ()
    ahead = (forward(state, step) for step in (Step.OVER, Step.LAYER))
    around = (cursor + 1, cursor - 1, *ahead, backward(state), layer_backward(state))
    inside = (index for index in around if index is not None and 0 <= index < state.frontier and index != cursor)
    return tuple(dict.fromkeys(inside))

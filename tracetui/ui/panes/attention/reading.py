"""What pane 3 has done in threads."""

from __future__ import annotations

from collections.abc import Callable

from textual.worker import get_current_worker

from tracetui.analysis.attention.heads import all_heads_identity
from tracetui.analysis.attention.reach import Reach, reach_of
from tracetui.analysis.attention.scores import AttentionView
from tracetui.analysis.identity import Identity
from tracetui.debugger.readings.attention import AttentionPlane, Shown, read_attention
from tracetui.debugger.state import ScreenState
from tracetui.recording.value import NotKeptError
from tracetui.ui.panes.attention.absence import NOT_KEPT, why_none
from tracetui.views.heatmap.scale import ScaleKind


def read_plane(
    state: ScreenState,
    kind: Shown,
    known: Callable[[AttentionView, int], Reach | None],
    scale: ScaleKind | None,
    before: AttentionPlane | None,
) -> AttentionPlane | str:
    """A plane, or in words why there is none."""
    try:
        return read_attention(state, kind, known, scale, before) or why_none(state)
    except NotKeptError:
        return NOT_KEPT


def read_reach(view: AttentionView, batch: int) -> Reach | None:
    """Of all heads; None once something else is looked at."""
    worker = get_current_worker()
    return reach_of(view, batch, lambda: worker.is_cancelled)


def check_all(view: AttentionView) -> Identity | None:
    """Of every head of a call against its recorded output."""
    worker = get_current_worker()
    return all_heads_identity(view, lambda: worker.is_cancelled)

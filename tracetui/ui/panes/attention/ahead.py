"""Attention planes that are ready before anybody asks for them: of the call on view, and of those around it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from textual.worker import get_current_worker

from tracetui.analysis.attention.heads import all_heads_identity
from tracetui.analysis.attention.reach import Reach, is_quick
from tracetui.analysis.attention.scores import AttentionView
from tracetui.analysis.identity import Identity
from tracetui.debugger.readings.attention import (
    AttentionPlane,
    Checks,
    Shown,
    check_attention,
    nearest,
    read_attention,
)
from tracetui.debugger.state import ScreenState
from tracetui.errors import TracetuiError
from tracetui.views.heatmap.scale import ScaleKind

MOST_KEPT = 24
AT_ONCE = 2**30
"""Multiplications of a call's q·k whose heads are all checked unasked: a fraction of a second."""
_Known = Callable[[AttentionView, int], Reach | None]


@dataclass(frozen=True, eq=False, slots=True)
class ReadyPlane:
    """A plane with what was checked of it."""

    key: Hashable
    """Where and as what it is looked at."""
    plane: AttentionPlane
    checks: Checks
    all_heads: tuple[Identity | None] | None
    """What holding all heads against the output gave; None where nobody did."""


def ready_key(state: ScreenState, kind: Shown, scale: ScaleKind | None) -> Hashable:
    """What decides which plane of a trace is shown."""
    return state.cursor, state.frontier, state.head, state.batch, kind, scale


def asked_for(attention: AttentionPlane | str, state: ScreenState, kind: Shown, scale: ScaleKind | None) -> Hashable:
    """The key of a plane that was read for what is looked at now; None of any other."""
    is_of = isinstance(attention, AttentionPlane) and attention.is_of(state, kind, scale)
    return ready_key(state, kind, scale) if is_of else None


def ready_whole(
    key: Hashable, plane: AttentionPlane, checks: Checks | None, all_heads: tuple[Identity | None] | None
) -> list[ReadyPlane]:
    """A plane once all that is checked of it unasked is known, if it is quick to make; nothing before."""
    is_whole = all_heads is not None or not checks_all(plane)
    if checks is None or key is None or not is_whole or not is_quick(plane.view):
        return []
    return [ReadyPlane(key, plane, checks, all_heads)]


def read_around(
    states: Sequence[ScreenState], kind: Shown, known: _Known, scale: ScaleKind | None, shown: AttentionPlane | None
) -> list[ReadyPlane]:
    """In a thread: the planes that these states ask for, where they are quick to make."""
    worker, ready = get_current_worker(), list[ReadyPlane]()
    for state in states:
        view = None if worker.is_cancelled else nearest(state)
        if view is None or not is_quick(view):
            continue
        before = next((each.plane for each in ready if each.plane.view.query is view.query), shown)
        with suppress(TracetuiError):  # Whoever goes there is told.
            plane = read_attention(state, kind, known, scale, before)
            if plane is not None:
                ready.append(_ready(state, kind, scale, plane, ready))
    return ready


def _ready(
    state: ScreenState, kind: Shown, scale: ScaleKind | None, plane: AttentionPlane, ready: Sequence[ReadyPlane]
) -> ReadyPlane:
    """With the checks of the same plane, if it is there already."""
    key, same = ready_key(state, kind, scale), next((each for each in ready if each.plane is plane), None)
    if same is not None:
        return ReadyPlane(key, plane, same.checks, same.all_heads)
    all_heads = (all_heads_identity(plane.view, lambda: False),) if checks_all(plane) else None
    return ReadyPlane(key, plane, check_attention(plane), all_heads)


def checks_all(plane: AttentionPlane) -> bool:
    """Whether all heads of its call are held against the output unasked."""
    return plane.ran and plane.view.query.numel * plane.view.key.shape[2] <= AT_ONCE

"""Progress while weights are made, for a model whose large tensors take seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from tracetui.debugger.session import Event, Progress
from tracetui.screen_turn import screen_turn
from tracetui.tracer.gate import NOTICE_SECONDS, Gate

_LARGE = 2**24
"""The least bytes of a tensor for which progress is always reported at its beginning and end."""


def weights_told(gate: Gate, emit: Callable[[Event], None]) -> Callable[[str, int, int], None]:
    """Looks for a cancelled run at every block, and tells of the large tensors a few times a second."""
    next_notice = 0.0

    def making(name: str, done: int, total: int) -> None:
        nonlocal next_notice
        gate.check()
        screen_turn.give_way()
        now = time.perf_counter()
        if now >= next_notice or (total >= _LARGE and done in (0, total)):
            next_notice = now + NOTICE_SECONDS
            emit(Progress(name, done, total))

    return making

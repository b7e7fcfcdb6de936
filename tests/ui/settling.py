"""Waits for an application until it has nothing left to do, and paints it then, instead of waiting for a time.

Textual's pilot sends every widget a message and then sleeps for 20 ms or longer, several times for each key. Here the
event loop itself is asked whether anything is ready to run. What waits for the next frame comes at once; the frames
in between, which no test looks at, are laid out and not painted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from textual import _wait
from textual._context import active_app
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

_PATIENCE = 0.02
"""Seconds for which a worker is waited for, as long as textual sleeps at least: one that is held up stays behind."""
_pilots_way = Pilot._wait_for_screen
_paint = Screen._compositor_refresh


@contextmanager
def settled_at_once() -> Iterator[None]:
    """Pilots wait so, and screens are painted once they have settled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", _wait_for_idle)
        patch.setattr("textual.pilot.wait_for_idle", _wait_for_idle)
        patch.setattr(Pilot, "_wait_for_screen", _wait_for_screen)
        patch.setattr(Screen, "_compositor_refresh", _leave_unpainted)
        patch.setattr("tracetui.ui.painting.notices.APART", 0.0)
        yield


@contextmanager
def painted_as_in_a_terminal() -> Iterator[None]:
    """Every frame, each at its time: for tests of what is painted when."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", _wait.wait_for_idle)
        patch.setattr("textual.pilot.wait_for_idle", _wait.wait_for_idle)
        patch.setattr(Pilot, "_wait_for_screen", _pilots_way)
        patch.setattr(Screen, "_compositor_refresh", _paint)
        patch.setattr("tracetui.ui.painting.notices.APART", 0.1)
        yield


async def _wait_for_idle(min_sleep: float = 0, max_sleep: float = 1) -> None:
    """In place of textual's."""
    if min_sleep:
        await _wait.wait_for_idle(min_sleep, max_sleep)
    else:
        await _settle(active_app.get())


async def _wait_for_screen(pilot: Pilot[Any], timeout: float = 30.0) -> bool:
    """In place of the pilot's."""
    app = pilot.app
    await _settle(app)
    if _has_screen(app) and app.screen._compositor._dirty_regions and not app._batch_count:
        _paint(app.screen)
    return app._exception is None


def _leave_unpainted(screen: Screen[Any]) -> None:
    """In place of the screen's painting: what is to be painted stays noted."""
    if screen is screen.app.screen:
        screen._dirty_widgets.clear()
        screen.app._update_mouse_over(screen)
    else:
        _paint(screen)


async def _settle(app: App[Any]) -> None:
    """Until nothing is ready to run, no worker is about to answer and no frame is to be laid out."""
    ends = time.monotonic() + _PATIENCE
    while True:
        await asyncio.sleep(0)
        # A task goes to the end of the queue: once that is empty, all others wait for a time, a thread or a file.
        if asyncio.get_running_loop()._ready:  # type: ignore[attr-defined]
            continue
        if not _has_screen(app):
            return
        if app._resize_timer is not None:
            app._check_resize()
        elif _awaits_workers(app) and time.monotonic() < ends:
            await asyncio.sleep(0.001)
        elif _frame_waits(app):
            app.screen._on_timer_update()
        else:
            return


def _has_screen(app: App[Any]) -> bool:
    return bool(app._screen_stack) and not app._closed and app._exception is None


def _awaits_workers(app: App[Any]) -> bool:
    return bool(app._batch_count) or any(not worker.is_finished for worker in app.workers)


def _frame_waits(app: App[Any]) -> bool:
    """Whether the screen on top has something to lay out, or to do once that is done."""
    screen = app.screen
    if screen._callbacks:
        return True
    return not app._batch_count and bool(
        screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._recompose_required
        or screen._dirty_widgets
    )

"""Widgets that come once the screen has been painted, to one that hands the session's state on."""

from __future__ import annotations

from textual.reactive import Reactive
from textual.widget import Widget

from tracetui.debugger.state import ScreenState


async def mount_later(owner: Widget, *widgets: Widget, after: Widget | None = None) -> None:
    """Mount widgets whose `state`, if they have one, is that of their owner from now on, as if bound when composed."""
    if not owner.is_attached:
        # The program has been told to end meanwhile.
        return
    await owner.mount(*widgets, after=after)
    for widget in widgets:
        if isinstance(getattr(type(widget), "state", None), Reactive):
            _follow(widget, owner)


def _follow(widget: Widget, owner: Widget) -> None:
    def follow(state: ScreenState) -> None:
        # That it has one was asked, and no type says so.
        setattr(widget, "state", state)  # noqa: B010

    widget.watch(owner, "state", follow)

"""A screen that is styled and painted once when it comes."""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakSet

from textual import events
from textual.geometry import Size
from textual.screen import Screen

AnyScreen = TypeVar("AnyScreen", bound=Screen[Any])


def arranged_for(screen: AnyScreen, size: Size) -> AnyScreen:
    """The screen, with the classes of its breakpoints before its widgets are made.

    Textual gives them to it once it has been laid out and painted, and has to style and paint all of it again then.
    """
    for length, breakpoints in (
        (size.width, screen.HORIZONTAL_BREAKPOINTS),
        (size.height, screen.VERTICAL_BREAKPOINTS),
    ):
        reached = [name for least, name in sorted(breakpoints or ()) if length >= least]
        screen.add_class(*reached[-1:])
    return screen


_SHOWN: WeakSet[Screen[Any]] = WeakSet()


def styled_once(screen: Screen[Any], event: events.ScreenResume) -> None:
    """As a screen's `on_screen_resume`: the first time, all of it has just been styled."""
    if screen not in _SHOWN:
        event.refresh_styles = False
        _SHOWN.add(screen)

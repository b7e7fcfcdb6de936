"""Telling widgets of another theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import ref

from textual.widget import Widget

Follower = TypeVar("Follower", bound=Widget)


def follow_theme(widget: Follower, follow: Callable[[Follower], object]) -> None:
    """Call `follow` with the widget whenever there is another theme; it holds nothing of the widget itself.

    Textual would keep a widget that is gone, a screen with its trace, until there is another theme.
    """
    follower = ref(widget)

    def tell(_: object) -> None:
        if (living := follower()) is not None:
            living.call_next(follow, living)

    widget.app.theme_changed_signal.subscribe(widget, tell, immediate=True)

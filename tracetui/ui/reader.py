"""Background work for the screen; its result is dropped if something else is on view by then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from textual.widget import Widget
from textual.worker import get_current_worker

from tracetui.errors import TracetuiError
from tracetui.ui.held_paint import held_paint
from tracetui.ui.messages import Trouble

Value = TypeVar("Value")


def _nothing() -> None:
    return None


@dataclass(frozen=True, eq=False, slots=True)
class Reply(Generic[Value]):
    """The result of background work, and the callback that receives it."""

    then: Callable[[Value], object]
    value: Value
    asked_for: object
    on_view: Callable[[], object]

    def hand_over(self) -> None:
        """Call `then`, unless something else is on view by now."""
        if self.on_view() == self.asked_for:
            self.then(self.value)


def read_in_background(
    widget: Widget,
    group: str,
    work: Callable[[], Value],
    then: Callable[[Value], object],
    on_view: Callable[[], object] = _nothing,
    holds_paint: bool = False,
) -> None:
    """Do `work` in a thread and pass its result to `then` on the screen's thread.

    Newer work of the same group replaces it. An error is reported as Trouble.

    on_view: returns what the result belongs to, such as the trace and record on view. It is called now and when the
    result is there: if the two values differ, the result is dropped.
    holds_paint: whether the screen waits a moment for the result before it is painted again.
    """
    read = partial(_answer, widget, work, then, on_view(), on_view)
    widget.run_worker(
        _held(widget, group, read) if holds_paint else read,
        group=group,
        description=group,
        thread=True,
        exclusive=True,
        exit_on_error=False,
    )


def _held(widget: Widget, group: str, read: Callable[[], None]) -> Callable[[], None]:
    """The read, for which the screen waits from now on."""
    hold, waits_for = held_paint(widget.app), ((widget, group), object())
    hold.begin(*waits_for)

    def read_and_paint() -> None:
        try:
            read()
        finally:
            widget.call_later(hold.end, *waits_for)

    return read_and_paint


def _answer(
    widget: Widget,
    work: Callable[[], Value],
    then: Callable[[Value], object],
    asked_for: object,
    on_view: Callable[[], object],
) -> None:
    worker = get_current_worker()
    try:
        answer = Reply(then, work(), asked_for, on_view)
    except Exception as error:
        problem = str(error) if isinstance(error, TracetuiError) else f"{type(error).__name__}: {error}"
        if not worker.is_cancelled:
            widget.post_message(Trouble(problem))
        return
    if not worker.is_cancelled:
        widget.call_later(answer.hand_over)

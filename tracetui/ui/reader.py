"""Reading a trace off the screen's thread: workers that answer with one message."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from tracetui.errors import TracetuiError
from tracetui.ui.messages import Trouble


def read_in_background(widget: Widget, group: str, work: Callable[[], Message]) -> None:
    """Do the work in a thread and post its message to the widget; a newer look in the same group replaces it."""
    widget.run_worker(
        partial(_look, widget, work), group=group, description=group, thread=True, exclusive=True, exit_on_error=False
    )


def _look(widget: Widget, work: Callable[[], Message]) -> None:
    worker = get_current_worker()
    try:
        answer = work()
    except TracetuiError as error:
        answer = Trouble(str(error))
    except Exception as error:
        answer = Trouble(f"{type(error).__name__}: {error}")
    if not worker.is_cancelled:
        widget.post_message(answer)

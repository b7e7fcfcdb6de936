"""Foreign text on the screen: never read as markup, and without a character that a terminal acts on.

Tokens, module and tensor names, config values, file names and error texts all pass through here. A plain
str given to a Textual widget is markup: `[/INST]` ends the app, `[@click=app.quit]` becomes a link.
"""

from __future__ import annotations

import time
from typing import Any

from rich.text import Text
from textual.app import App
from textual.content import Content
from textual.notifications import SeverityLevel
from textual.widget import Widget

from tracetui.text import visible

_ONE_MOMENT = 0.5
"""Seconds within which notices stand beside one another."""
_MOST_AT_ONCE = 3


def safe(foreign: str, limit: int = 400) -> Content:
    """The text as Content: for Static, Label and DataTable cells."""
    return Content(visible(foreign, limit))


def safe_text(foreign: str, limit: int = 400) -> Text:
    """The text as rich Text, on one line: for Tree labels, which Textual edits in place, and OptionList prompts."""
    return Text(visible(foreign, limit), no_wrap=True, end="")


def set_title(widget: Widget, foreign: str, limit: int = 400) -> None:
    """Put the text into a widget's border; Content's own `markup` does not escape `[INST]`."""
    widget.border_title = safe_text(foreign, limit)


def notify(
    app: App[Any],
    foreign: str,
    *,
    title: str = "",
    severity: SeverityLevel = "information",
    limit: int = 400,
    beside: bool = False,
) -> None:
    """Show the text, which may come from anywhere, as a notice; those before it go.

    beside: notices of the same moment stay, a few of them: an event may have several things said.
    """
    text = visible(text_of_one_line(foreign), limit)
    notices = [notice for notice in app._notifications if not notice.has_expired]
    if any(notice.message == text for notice in notices):
        return
    now = time.time()
    recent = [notice for notice in notices if beside and now - notice.raised_at < _ONE_MOMENT]
    for notice in notices:
        if notice not in recent[-_MOST_AT_ONCE + 1 :]:
            app._unnotify(notice, refresh=False)
    app.notify(text, title=visible(title, limit), severity=severity, markup=False)


def text_of_one_line(text: str) -> str:
    """The lines of a text after one another."""
    return " · ".join(line.strip() for line in text.splitlines() if line.strip()) or text

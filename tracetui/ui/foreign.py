"""Foreign text on the screen: never read as markup, and without a character that a terminal acts on.

Tokens, module and tensor names, config values, file names and error texts all pass through here. A plain
str given to a Textual widget is markup: `[/INST]` ends the app, `[@click=app.quit]` becomes a link.
"""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import App
from textual.content import Content
from textual.notifications import SeverityLevel
from textual.widget import Widget

from tracetui.text import visible


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
    app: App[Any], foreign: str, *, title: str = "", severity: SeverityLevel = "information", limit: int = 400
) -> None:
    """Show the text, which may come from anywhere, as the one notification there is; the one before goes."""
    text = visible(foreign, limit)
    if not any(notice.message == text and not notice.has_expired for notice in app._notifications):
        app.clear_notifications()
        app.notify(text, title=visible(title, limit), severity=severity, markup=False)

"""What the tensor pane shows of a recording that was just opened: the run as a whole, and where to go from here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.content import Content

from tracetui.debugger.readings.experts import has_experts
from tracetui.debugger.readings.overview import Overview, read_overview
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.text import visible
from tracetui.ui.panes.pane import ReadingPane

_EXPERTS = "4"
_KEYS = (
    ("s", "steps from the first record"),
    ("3", "attention"),
    (_EXPERTS, "experts"),
    ("5", "the next tokens"),
    ("?", "all keys"),
)
_READING = Overview((("", "reading…"),))


class RunOverview(ReadingPane[Overview]):
    """Read once for a recording, while it is on view."""

    def __init__(self, page: StartPage) -> None:
        super().__init__("overview")
        self.remove_class("pane")
        self._page = page
        self._overview = _READING

    def looks_at(self, state: ScreenState) -> object:
        return state.trace, state.overview

    def reading(self, state: ScreenState) -> Callable[[], Overview] | None:
        return partial(read_overview, state.trace) if state.overview else None

    def show(self, overview: Overview) -> None:
        self._overview = overview
        self.refresh(layout=True)

    def render(self) -> Content:
        page, overview = self._page, self._overview
        facts = " · ".join(part for part in (page.dtype, page.weights) if part)
        width = max((len(name) for name, _ in overview.rows), default=0)
        sound = (
            Content.assemble((f"{overview.finding}", "bold $waiting"), ("   ! says who made it", "$quiet"))
            if overview.finding
            else Content("")
        )
        rows = [
            Content.assemble((f"{name:<{width}}  ", "$quiet"), visible(text)).truncate(
                max(1, self.content_size.width or 200), ellipsis=True
            )
            for name, text in overview.rows
        ]
        experts = has_experts(self.state.outline, self.state.trace)
        keys = [
            Content.assemble((key, "bold $accent"), f"  {label}") for key, label in _KEYS if key != _EXPERTS or experts
        ]
        parts = [
            Content.styled(visible(page.description or page.title), "bold $foreground"),
            *([Content.styled(visible(facts), "$quiet")] if facts else []),
            *([sound] if overview.finding else []),
            Content(""),
            *rows,
            Content(""),
            *keys,
        ]
        return Content("\n").join(parts)

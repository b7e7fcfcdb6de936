"""What the tensor pane shows of a recording that was just opened: the run as a whole, and where to go from here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from textwrap import wrap

from rich.cells import cell_len
from textual import events
from textual.content import Content

from tracetui.debugger.readings.experts import has_experts
from tracetui.debugger.readings.overview import Overview, read_overview
from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.text import visible
from tracetui.ui.panes.pane import ReadingPane
from tracetui.views.cells import bar, fit
from tracetui.views.charts.bars import percent

_KEYS = (
    ("s", "steps from the first record", "into"),
    ("3", "attention", "pane_attention"),
    ("4", "experts", "pane_experts"),
    ("5", "the next tokens", "pane_logits"),
    ("P", "what each layer would predict", "lens"),
    ("d", "compares it with another recording", "diff"),
    ("?", "all keys", "help"),
)
_BAR, _SHORT = 24, 16
"""Cells of the likeliest token's bar, and lines of a pane with room for few of them."""
_MOST_LINES = 3
"""Of one row's text."""
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
        return Content("\n").join([line for line, _ in self._lines()])

    def _lines(self) -> list[tuple[Content, str]]:
        """All lines, each with the command that a click on it is."""
        page, overview = self._page, self._overview
        facts = " · ".join(part for part in (page.dtype, page.weights) if part)
        lines = [Content.styled(visible(page.description or page.title), "bold $foreground")]
        lines += [Content.styled(visible(facts), "$quiet")] if facts else []
        told = [(line, "") for line in lines]
        if overview.finding:
            words = (overview.finding, "bold $waiting"), ("   ! says who made it", "$quiet")
            told.append((Content.assemble(*words), "health"))
        gap = [] if self._is_short else [Content("")]
        told += [(line, "") for line in (*gap, *self._rows(), Content(""))]
        return [*told, *self._keys()]

    @property
    def _is_short(self) -> bool:
        return self.content_size.height < _SHORT

    def _rows(self) -> Iterator[Content]:
        """Names at the left, what is known of the run beside them."""
        overview = self._overview
        short = self._is_short
        name_width = max((len(name) for name in ("next token", *(name for name, _ in overview.rows))), default=0)
        room = max(12, (self.content_size.width or 200) - name_width - 3)
        for name, text in overview.rows:
            folded = wrap(visible(text, 2000), room) or [""]
            most = 1 if short else _MOST_LINES
            parts = [*folded[: most - 1], fit(" ".join(folded[most - 1 :]), room).rstrip()] if folded[most:] else folded
            for place, part in enumerate(parts):
                yield Content.assemble((f"{'' if place else name:<{name_width}}   ", "$quiet"), part)
        yield from self._predicted(name_width, room, 1 if short else len(overview.predictions))

    def _predicted(self, name_width: int, room: int, most: int) -> Iterator[Content]:
        """The likeliest next tokens, each with its share and a bar from 0 to the first one's."""
        shown = self._overview.predictions[:most]
        label = max((cell_len(text) for text, _ in shown), default=0)
        for place, (text, probability) in enumerate(shown):
            share = probability / (shown[0][1] or 1.0) if math.isfinite(probability) else 0.0
            drawn = bar(share, min(_BAR, room - label - 12))
            yield Content.assemble(
                (f"{'' if place else 'next token':<{name_width}}   ", "$quiet"),
                (f"{fit(text, label)}  {percent(probability):>7}  ", "$foreground" if place else "bold $foreground"),
                (drawn, "$primary"),
            )

    def _keys(self) -> Iterator[tuple[Content, str]]:
        absent = set() if has_experts(self.state.outline, self.state.trace) else {"pane_experts"}
        absent |= set() if self._overview.has_lens else {"lens"}
        for key, label, command in _KEYS:
            if command not in absent:
                yield Content.assemble((key, "bold $accent"), f"  {label}"), command

    async def on_click(self, event: events.Click) -> None:
        """What the line's key does."""
        place, lines = event.get_content_offset(self), self._lines()
        if place is not None and place.y < len(lines) and lines[place.y][1]:
            await self.run_action(f"screen.command('{lines[place.y][1]}')")

"""One line made of parts that can be clicked."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.content import Content
from textual.widget import Widget

Part = tuple[Content, str]


class ActionLine(Widget):
    """Subclasses give parts, each with the action it stands for; those that don't fit whole are left out."""

    kept: ClassVar[frozenset[str]] = frozenset()
    """Actions whose parts are there in the narrowest line: others make room for them."""

    def parts(self) -> list[Part]:
        raise NotImplementedError

    def render(self) -> Content:
        return Content.assemble(*(content for content, _ in self._fitting()))

    def _fitting(self) -> list[Part]:
        parts, fitting = self.parts(), []
        room = self.size.width - sum(content.cell_length for content, action in parts if action in self.kept)
        for content, action in parts:
            if action not in self.kept:
                room -= content.cell_length
                if room < 0:
                    continue
            fitting.append((content, action))
        return fitting

    async def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        left = place.x if place else -1
        for content, action in self._fitting():
            if 0 <= left < content.cell_length and action:
                await self.run_action(action)
                return
            left -= content.cell_length

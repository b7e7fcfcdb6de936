"""Textual's command palette: left in the middle of a search, twice, or in a window of one cell, without harm."""

from __future__ import annotations

from typing import Any

from textual.await_complete import AwaitComplete
from textual.command import CommandList, CommandPalette
from textual.errors import NoWidget
from textual.events import Click, Event
from textual.worker import Worker


class CommandSearch(CommandPalette):
    """Its search looks for its own widgets, and ends the program if they have gone: here it only ends itself."""

    def run_worker(self, *arguments: Any, **options: Any) -> Worker[Any]:
        return super().run_worker(*arguments, **{**options, "exit_on_error": False})

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A list that has no room to be drawn in doesn't know where its pages begin."""
        if action == "command_list" and not self.query_one(CommandList).scrollable_content_region:
            return False
        return super().check_action(action, parameters)

    def _forward_event(self, event: Event) -> None:
        """A click on a command that was drawn but is found no more comes to nothing."""
        if isinstance(event, Click):
            place = self.get_style_at(event.screen_x, event.screen_y).meta.get("option", -1)
            if place >= self.query_one(CommandList).option_count:
                return
        super()._forward_event(event)

    async def _on_click(self, event: Click) -> None:  # type: ignore[override]
        """In a window of a few cells there may be nothing under the mouse, which Textual takes for a mistake."""
        try:
            self.get_widget_at(event.screen_x, event.screen_y)
        except NoWidget:
            event.prevent_default()

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """A second click on what is around it, already under way, comes to nothing."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

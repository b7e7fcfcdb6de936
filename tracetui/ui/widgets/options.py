"""A list to choose from."""

from __future__ import annotations

from textual.events import Click
from textual.widgets import OptionList


class Options(OptionList):
    """Textual's, which has no pages while there is no room to draw it in, and may have changed since it was drawn."""

    async def _on_click(self, event: Click) -> None:
        """A click on an option that has gone, drawn still, comes to nothing."""
        if event.style.meta.get("option", -1) >= self.option_count:
            event.prevent_default()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("page_up", "page_down") and not self.scrollable_content_region:
            return False
        return super().check_action(action, parameters)

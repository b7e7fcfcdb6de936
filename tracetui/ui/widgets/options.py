"""A list to choose from."""

from __future__ import annotations

from textual.widgets import OptionList


class Options(OptionList):
    """Textual's, which has no pages while there is no room to draw it in."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("page_up", "page_down") and not self.scrollable_content_region:
            return False
        return super().check_action(action, parameters)

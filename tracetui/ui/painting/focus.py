"""Widgets that are styled alike with and without the keys."""

from __future__ import annotations

from textual.widget import Widget


class PlainFocus(Widget):
    """No rule of the stylesheets asks whether it has the focus: what shows it is drawn.

    Textual would look for its styles anew whenever the keys come and go.
    """

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Nothing to do."""

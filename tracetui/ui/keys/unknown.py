"""Keys that do nothing, told once each."""

from __future__ import annotations

from tracetui.ui.keys.commands import key_name

_SILENT = frozenset({"ctrl+c", "ctrl+z", "ctrl+q", "enter", "escape", "tab", "shift+tab"})
"""Keys that somewhere else have a meaning that everybody knows."""


class UnknownKeys:
    """Says of each such key once that it does nothing here."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def remark(self, key: str) -> str:
        """What is to be said of a key that nobody took; empty if that was said already."""
        if key in self._seen or key in _SILENT:
            return ""
        self._seen.add(key)
        return f"{key_name(key)} does nothing here; ? tells what there is and which keys"

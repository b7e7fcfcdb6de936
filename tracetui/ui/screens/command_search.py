"""Textual's command palette, left in the middle of a search without harm, and left once."""

from __future__ import annotations

from typing import Any

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.worker import Worker


class CommandSearch(CommandPalette):
    """Its search looks for its own widgets, and ends the program if they have gone: here it only ends itself."""

    def run_worker(self, *arguments: Any, **options: Any) -> Worker[Any]:
        return super().run_worker(*arguments, **{**options, "exit_on_error": False})

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """A second click on what is around it, already under way, comes to nothing."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

"""The diff screen over a run. It is imported when it is opened: its analysis is a fifth of what a start would load."""

from __future__ import annotations

from collections.abc import Mapping

from textual.screen import Screen

from tracetui.recording.trace import Trace


def diff_screen(
    a: Trace, b: Trace, names: tuple[str, str], keys: Mapping[str, str], overview: bool = False
) -> Screen[None]:
    """A run, as far as it has come, beside the reference B.

    keys: those that the user chose, by the ids of commands. overview: whether all is told in words first.
    """
    from tracetui.ui.diff_screen.screen import DiffScreen
    from tracetui.ui.diff_screen.work import Comparing

    return DiffScreen(Comparing(a.closed(), b, names, overview=overview), keys)

"""The table of panes holds together."""

from __future__ import annotations

from collections.abc import Callable

from textual.widget import Widget

from tests.ui.fake import OFFER
from tests.ui.tiny_llama import empty_recorder, forward
from tracetui.debugger.state import ScreenState
from tracetui.ui.keys.commands import COMMANDS
from tracetui.ui.panes.pane import ReadingPane
from tracetui.ui.panes.table import MODULES, PANES


def test_a_pane_s_widget_bears_its_id_and_its_key_is_a_command() -> None:
    commands = {command.id: command for command in COMMANDS}
    for pane in (MODULES, *PANES):
        widget = pane.make(OFFER)
        assert isinstance(widget, Widget)
        assert (widget.id, widget.has_class("pane")) == (pane.id, True)
        assert (commands[f"pane_{pane.id}"].keys, commands[f"pane_{pane.id}"].help) == (pane.key, pane.help)


class Counting(ReadingPane[int]):
    """Reads how many records there are."""

    def reading(self, state: ScreenState) -> Callable[[], int]:
        return state.trace.records.__len__

    def show(self, value: int) -> None:
        self.border_title = str(value)


def test_a_pane_says_what_it_looks_at_and_has_nothing_to_copy_unless_it_says_so() -> None:
    recorder = empty_recorder()
    list(forward(recorder))
    pane, state = Counting("count"), ScreenState(trace=recorder.trace, cursor=3)
    assert pane.looks_at(state) == (recorder.trace, 3)
    assert pane.reading(state)() == len(recorder.trace)
    assert pane.copied() == ""

"""The prompt: one line to type in, with the tokenizer's name beside it."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import reactive
from textual.widgets import Input, Static

from tracetui.ui.foreign import safe
from tracetui.ui.messages import PromptGiven, PromptLeft
from tracetui.ui.offer import Offer
from tracetui.ui.state import State
from tracetui.ui.widgets.line_input import LineInput


class PromptInput(LineInput):
    """Enter runs, Esc goes to the panes; every other key of the debugger rests while it has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave the prompt", show=False)]

    def action_leave(self) -> None:
        self.post_message(PromptLeft())


class PromptBar(Horizontal):
    """`prompt  the answer to … is                     tiktoken`."""

    state: reactive[State] = reactive(State())

    def __init__(self, offer: Offer) -> None:
        super().__init__(id="prompt-bar")
        self._offer = offer

    def compose(self) -> ComposeResult:
        yield Static(" prompt ", id="prompt-label", markup=False)
        yield PromptInput(self._offer.prompt, id="prompt", compact=True, select_on_focus=False)
        yield Static(safe(self._offer.tokenizer, 40), id="tokenizer")

    def watch_state(self, old: State, state: State) -> None:
        if self.is_mounted and state.tokenizer != old.tokenizer:
            self.query_one("#tokenizer", Static).update(safe(state.tokenizer, 40))

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(PromptGiven(event.value))

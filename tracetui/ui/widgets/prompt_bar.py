"""The prompt: one line to type in, with the tokenizer's name beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Input, Static

from tracetui.debugger.start_page import StartPage
from tracetui.debugger.state import ScreenState
from tracetui.recipe import Prompts
from tracetui.text import visible
from tracetui.ui.foreign import safe
from tracetui.ui.messages import PromptGiven, PromptLeft, PromptTyped
from tracetui.ui.widgets.line_input import LineInput


class PromptInput(LineInput):
    """Enter runs, Esc goes to the panes; every other key of the debugger rests while it has the focus.

    What stands there is selected when it gets the focus, so that typing replaces it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave the prompt", show=False, id="prompt_leave"),
        Binding("up", "earlier(1)", "the prompt run before", show=False, id="earlier_prompt"),
        Binding("down", "earlier(-1)", "the prompt run after", show=False, id="later_prompt"),
    ]

    def __init__(self, prompts: Prompts, earlier: Iterable[str] = ()) -> None:
        """A batch stands as a placeholder: Enter in the empty line runs it, a text typed runs alone.

        earlier: texts that were run before this session, the newest last.
        """
        self._offered = prompts.text if prompts.one_text else ""
        placeholder = "" if prompts.one_text else batch_text(prompts)
        super().__init__(self._offered, placeholder, id="prompt", compact=True)
        self._run = list(earlier)
        self._draft = ""
        self._back = 0

    @property
    def earlier(self) -> tuple[str, ...]:
        """Texts that were run, the newest last."""
        return tuple(self._run)

    def ran(self, prompt: str) -> None:
        """Remember a prompt that was given to the model."""
        if self._run[-1:] != [prompt]:
            self._run.append(prompt)
        self._back = 0

    def action_leave(self) -> None:
        """An emptied line goes back to what was run last: it is what the screen shows."""
        if not self.value.strip():
            self.value = self._run[-1] if self._run else self._offered
        self.screen.set_focus(None)  # what is typed from now on isn't for this line
        self.post_message(PromptLeft())

    def action_earlier(self, by: int) -> None:
        """Through the prompts of this session; before the newest lies what was typed."""
        if not self._back:
            self._draft = self.value
        kept = self._run[:-1] if self._run[-1:] == [self._draft] else self._run
        self._back = max(0, min(len(kept), self._back + by))
        self.value = kept[-self._back] if self._back else self._draft
        self.cursor_position = len(self.value)

    def _on_paste(self, event: events.Paste) -> None:
        """All lines of a paste: Textual's own handler keeps only the first."""
        event.prevent_default()
        event.stop()
        # Terminals send a line's end as a carriage return.
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.replace(text, *self.selection)


class PromptBar(Horizontal):
    """`prompt  the answer to … is                     tiktoken`."""

    state: reactive[ScreenState] = reactive(ScreenState(), repaint=False)

    def __init__(self, offer: StartPage) -> None:
        super().__init__(id="prompt-bar")
        self._offer = offer
        self._told = offer.prompts.text if offer.prompts.one_text else ""
        self._input: PromptInput | None = None
        """None over a recording."""

    def compose(self) -> ComposeResult:
        if self._offer.recording:
            yield Static(" recording ", id="prompt-label", markup=False)
            yield Static(safe(self._offer.recording, 400), id="recording")
        else:
            yield Static(" prompt ", id="prompt-label", markup=False)
            self._input = PromptInput(self._offer.prompts, self._offer.recalled.note.earlier)
            yield self._input
        yield Static(_named(self._offer.tokenizer), id="tokenizer")

    @property
    def text(self) -> str:
        """What stands in the line; empty over a recording."""
        return self._input.value if self._input is not None else ""

    @property
    def earlier(self) -> tuple[str, ...]:
        """Texts that were run, the newest last."""
        return self._input.earlier if self._input is not None else ()

    def ran(self, prompt: str) -> None:
        """Remember a prompt that was given to the model."""
        if self._input is not None:
            self._input.ran(prompt)

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        if self.is_mounted and state.tokenizer != old.tokenizer:
            self.query_one("#tokenizer", Static).update(_named(state.tokenizer))

    @on(Input.Changed)
    def _tell(self, event: Input.Changed) -> None:
        event.stop()
        if event.value != self._told:
            self._told = event.value
            self.post_message(PromptTyped())

    @on(Input.Submitted)
    def _give(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(PromptGiven(event.value))


def batch_text(prompts: Prompts) -> str:
    """What an empty line would run: `3 prompts · the answer is ⏎ hello ⏎ …`."""
    if not len(prompts):
        return "Enter runs the inputs given with the model"
    if prompts.random:
        rows, length = prompts.random
        return f"{rows} × {length} random ids"
    rows, kind = len(prompts), "prompts" if prompts.texts else "rows of ids"
    rows_text = prompts.texts or [",".join(map(str, row[:20])) for row in prompts.ids]
    counted = f"{rows} {kind}" if rows > 1 else "a prompt" if prompts.texts else "token ids"
    return f"{counted} · " + " · ".join(f"“{visible(text, 40)}”" for text in rows_text[:20])


def _named(tokenizer: str) -> Content:
    return Content("· ") + safe(tokenizer, 40) if tokenizer else Content("")

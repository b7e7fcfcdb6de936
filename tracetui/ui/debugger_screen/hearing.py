"""What the debugger does when the session tells something, and when a prompt is typed or given."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from textual import on
from textual.timer import Timer

from tracetui.debugger.log_lines import failure_lines, log_lines
from tracetui.debugger.session import (
    NO_PREVIEW,
    Event,
    Explained,
    Failed,
    Finished,
    Opened,
    Prepared,
    Preview,
    Sourced,
    Started,
    Stopped,
)
from tracetui.debugger.start_page import StartPage
from tracetui.recipe import Prompts
from tracetui.ui.debugger_screen.editing import EditingScreen
from tracetui.ui.foreign import notify
from tracetui.ui.messages import PromptGiven, PromptTyped, SessionEvent, SessionOpened
from tracetui.ui.panes.log.pane import LogPane
from tracetui.ui.widgets.prompt_bar import PromptInput

_REST = 0.25
"""Seconds without a key after which what is typed is worked out."""


class HearingScreen(EditingScreen):
    """Panes, stops and edits over a driver that hears the session."""

    def __init__(self, offer: StartPage, keymap: Mapping[str, str]) -> None:
        super().__init__(offer, keymap)
        self._early: list[str] = []
        self._explained: Explained | None = None
        self._rest: Timer | None = None

    def on_mount(self) -> None:
        for text in self._early:
            self.query_one(LogPane).add(text, trouble=True)
        if self._offer.begins:
            # Before any key is heard: none is for the prompt.
            self.leave_prompt()

    def report(self, text: str, notice: str = "") -> None:
        """Something went wrong beside the run: the log keeps it, and a notice shows it, or what `notice` says."""
        if not self.is_mounted:
            self._early.append(text)
            return
        self.query_one(LogPane).add(text, trouble=True)
        notify(self.app, notice or text, severity="error")

    def cancel_run(self) -> bool:
        """Cancel the run; False if there is none, or if it has been told already."""
        return self._driver.cancel()

    def close(self, timeout: float) -> bool:
        """End the session; may take `timeout` seconds."""
        return self._driver.close(timeout)

    @on(SessionOpened)
    def _opened(self, message: SessionOpened) -> None:
        self._driver.opened(message.session)
        if self._offer.begins:
            self._driver.run(self._offer.prompts)
        self._refresh()

    @on(SessionEvent)
    def _heard(self, message: SessionEvent) -> None:
        if isinstance(message.event, Preview) and message.event.prompts != self._wanted:
            # Of a text that has been changed since.
            return
        self._driver.heard(message.event)
        self._note(message.event)
        turning = isinstance(message.event, Started | Stopped | Finished | Failed | Opened)
        self._refresh("" if turning else None)
        self.diagnose_hits(message.event)
        self.hear_edits(message.event)
        if isinstance(message.event, Opened):
            self.leave_prompt()
        if isinstance(message.event, Prepared) and message.event.preview is not NO_PREVIEW:
            self._look_ahead()

    @property
    def _wanted(self) -> Prompts:
        """What Enter in the prompt line would run."""
        return self._offer.prompts_for(self.query_one(PromptInput).value)

    def _note(self, event: Event) -> None:
        """What an event leaves in the log."""
        log = self.query_one(LogPane)
        for line in (*log_lines(event), *self.hear_stops(event)):
            log.add(line)
        if isinstance(event, Explained):
            self._explained = event
            from tracetui.ui.dialogs.config import ConfigScreen

            if isinstance(self.app.screen, ConfigScreen):
                self.app.screen.answer(event)
        elif isinstance(event, Sourced):
            self.show_source(event)
        elif isinstance(event, Failed):
            # A notice covers values: what the error came through stands in the log alone.
            self.report("\n".join(failure_lines(event)), event.error)

    @on(PromptGiven)
    def _run(self, message: PromptGiven) -> None:
        prompts = self._offer.prompts_for(message.prompt)
        remark = self._driver.run(prompts)
        if message.prompt.strip() or not prompts.one_text:
            self.query_one(PromptInput).ran(message.prompt)
            self.leave_prompt()
        self._refresh(remark)

    @on(PromptTyped)
    def _look_ahead(self) -> None:
        """What is shown of the last text is wrong for this one; the new one is worked out when the typing rests."""
        prompts = self._wanted
        if prompts != self.state.preview.prompts:
            self._driver.state = replace(self._driver.state, preview=NO_PREVIEW)
            self._refresh(None)
            if self._rest is not None:
                self._rest.stop()
            self._rest = self.set_timer(_REST, partial(self._driver.preview, prompts))

    @abstractmethod
    def show_source(self, source: Sourced) -> None:
        """What came of asking for the code behind a site."""

"""Starting runs: the prompt that is typed or offered, what it would be, and tokens that the model adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from tracetui.debugger.session import NO_PREVIEW, Session
from tracetui.debugger.start_page import StartPage
from tracetui.recipe import Prompts
from tracetui.ui.debugger_screen.host import Handlers, Host, Panes, TypedPrompt


class RunActions:
    """The commands that ask for a run, and the line that they are typed in."""

    def __init__(
        self,
        host: Host,
        page: StartPage,
        panes: Panes,
        line: TypedPrompt,
        once_at_rest: Callable[[Callable[[], None]], None],
    ) -> None:
        """once_at_rest: calls a function once no key has come for a moment; a newer function replaces an older one."""
        self._host = host
        self._page = page
        self._panes = panes
        self._line = line
        self._once_at_rest = once_at_rest
        self.more = page.recalled.note.more
        """How many tokens were asked for last; 0: none yet."""

    @property
    def handlers(self) -> Handlers:
        return {"prompt": self.prompt, "generate": self.generate, "cancel": self.cancel}

    @property
    def prompts(self) -> Prompts:
        """What Enter in the prompt line would run."""
        return self._page.prompts_for(self._line.text)

    def begin(self) -> None:
        """Have prompts that came with the command run as soon as there is a model."""
        if self._page.begins:
            self._host.driver.run(self._page.prompts)

    def opened(self, session: Session) -> None:
        """There is a session to run with."""
        self._host.driver.opened(session)
        # What was said to a prompt that was given before stays.
        self._host.show(None)

    def prompt(self) -> None:
        """To the prompt line."""
        self._host.driver.drop_waiting()
        if self._page.recording:
            self._host.show(f"this is a recording: {self._page.recording}")
            return
        self._host.show()
        self._panes.to_prompt()

    def give(self, typed: str) -> None:
        """Run what was typed."""
        prompts = self._page.prompts_for(typed)
        remark = self._host.driver.run(prompts)
        if typed.strip() or not prompts.one_text:
            self._line.ran(typed)
            self._panes.to_front()
        self._host.show(remark)

    def look_ahead(self) -> None:
        """What is shown of the last text is wrong for this one; the new one is worked out when the typing rests."""
        prompts = self.prompts
        if prompts != self._host.state.preview.prompts:
            self._host.driver.state = replace(self._host.state, preview=NO_PREVIEW)
            self._host.show(None)
            self._once_at_rest(partial(self._host.driver.preview, prompts))

    def cancel(self) -> None:
        """Give a maximised pane's room back, cancel what runs, or leave the timeline; a waiting model stays."""
        if self._panes.maximised:
            self._panes.give_room("")
        elif self._host.state.running:
            self._host.driver.cancel()
            self._host.show()
        else:
            self._panes.leave_timeline()

    def generate(self) -> None:
        """Ask how many tokens more."""
        from tracetui.ui.dialogs.generate import GenerateScreen

        if self._page.recording:
            self._host.show(f"this is a recording: {self._page.recording}")
        elif remark := self._host.driver.keeps_from_going_on():
            self._host.show(remark)
        else:
            self._host.push(GenerateScreen(self.more), self._go_on)

    def _go_on(self, count: int | None) -> None:
        if count is not None:
            self.more = count
            self._host.show(self._host.driver.generate(count))

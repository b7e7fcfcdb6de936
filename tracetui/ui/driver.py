"""What a command does to the session and to the state: the debugger's rules, without a screen."""

from __future__ import annotations

from tracetui.session import Event, Failed, Prepared, Session, until_end, until_first
from tracetui.trace.stepping import Step, target
from tracetui.ui.state import (
    Phase,
    State,
    after,
    backward,
    forward,
    layer_backward,
    moved,
    resumed,
    starting,
)

NOTHING_YET = "nothing is recorded yet; Enter in the prompt runs it"


class Driver:
    """Holds the session and the one current State. Commands answer with a remark for the user, or nothing."""

    def __init__(self) -> None:
        self.state = State()
        self._session: Session | None = None
        self._pending: str | None = None
        self._cancelling = False

    def opened(self, session: Session) -> None:
        """The session exists. Its events may have come before it."""
        self._session = session
        self._start_pending()

    def heard(self, event: Event) -> None:
        """An event of the session has arrived."""
        self.state = after(self.state, event)
        self._cancelling = self._cancelling and self.state.under_way
        if isinstance(event, Prepared):
            self._start_pending()
        elif isinstance(event, Failed):
            self._pending = None

    def run(self, prompt: str) -> str:
        """Run a prompt from its first token, as soon as there is a model."""
        if not prompt.strip():
            return "the prompt is empty; type one and press Enter"
        if self._session is None or self.state.phase is Phase.PREPARING:
            self._pending = prompt
            return "the prompt runs as soon as the model is prepared"
        self.state = starting(self.state)
        self._cancelling = False
        self._session.start(prompt, until_first)
        return ""

    def step(self, step: Step) -> str:
        """Forward: over records behind the frontier, else by letting the model run on."""
        state = self.state
        if state.cursor < 0 and not state.under_way:
            return NOTHING_YET
        if (found := forward(state, step)) is not None:
            self.state = moved(state, found)
            return ""
        if state.phase is Phase.STOPPED and self._session is not None:
            origin = state.record if state.cursor >= 0 else None
            self.state = resumed(state)
            self._session.advance(until_end if step is Step.END else target(step, origin))
            return ""
        if state.running:
            return "the model is running; Space stops it, Esc cancels"
        return self._at_the_end(step)

    def back(self) -> str:
        return self._to(backward(self.state))

    def layer_back(self) -> str:
        return self._to(layer_backward(self.state))

    def first(self) -> str:
        return self._to(0)

    def last(self) -> str:
        return self._to(self.state.frontier - 1)

    def jump(self, index: int) -> str:
        return self._to(index)

    def pause(self) -> str:
        if self.state.running and self._session is not None:
            self._session.pause()
        return ""

    def cancel(self) -> bool:
        """Cancel the run; False if there is none, or if it has been told already."""
        self._pending = None
        if self._cancelling or not self.state.under_way or self._session is None:
            return False
        self._cancelling = True
        self._session.cancel()
        return True

    def close(self, timeout: float) -> bool:
        """End the session; False if its thread still ran after `timeout` seconds."""
        return self._session is None or self._session.close(timeout)

    def _start_pending(self) -> None:
        if self._pending is not None and self._session is not None and self.state.phase is not Phase.PREPARING:
            prompt, self._pending = self._pending, None
            self.run(prompt)

    def _at_the_end(self, step: Step) -> str:
        state = self.state
        if step in (Step.END, Step.LAYER) and state.cursor < state.frontier - 1:
            return self._to(state.frontier - 1)
        return "this is the last record of the run; r runs again"

    def _to(self, index: int) -> str:
        if not self.state.frontier:
            return NOTHING_YET
        self.state = moved(self.state, index)
        return ""

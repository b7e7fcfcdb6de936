"""One line that says where the cursor stands, or what keeps the model busy."""

from __future__ import annotations

import time

from textual.content import Content
from textual.reactive import reactive

from tracetui.debugger.fault import NO_FAULT
from tracetui.debugger.state import NO_PLAN, Phase, ScreenState
from tracetui.startup_line import FRAME_SECONDS, FRAMES
from tracetui.text import about_size, size, visible
from tracetui.ui.widgets.state_text import StateText
from tracetui.views.cells import fit_end
from tracetui.views.run.stops import hit_line

_GAUGE, _SMALL_GAUGE = 24, 10
_STILL = frozenset({Phase.PREPARING, Phase.STARTING})
"""Phases in which no number on the line changes."""
_ROOMY, _SMALL = 120, 48


class StepBar(StateText):
    """`step 7 · 41 recorded · model.layers.0.self_attn.q_proj · depth 4`; the timeline stands below it or beside it."""

    remark: reactive[str] = reactive("", repaint=False)
    """The answer to the last key, in place of where the cursor stands until the next one."""

    def on_mount(self) -> None:
        self._watch_phase()

    def watch_state(self, old: ScreenState, state: ScreenState) -> None:
        super().watch_state(old, state)
        if self.is_mounted and state.phase is not old.phase:
            self._watch_phase()

    def watch_remark(self) -> None:
        self.look_again()

    def _watch_phase(self) -> None:
        """A sign moves while nothing else would show that something goes on."""
        self.auto_refresh = FRAME_SECONDS if self.state.phase in _STILL else None

    def content(self) -> Content:
        state = self.state
        if self.remark:
            return self._line(Content.styled(f" {visible(self.remark)}", "$waiting"), Content(""))
        if state.phase is Phase.FAILED and state.cursor in (-1, state.fault.at, state.frontier - 1):
            # Which module it is stands in the tree and in the tensor pane.
            problem = state.error if state.fault is NO_FAULT else state.fault.error
            return self._line(Content.styled(f" ✗ {visible(problem)}", "$error"), Content(""))
        if state.progress.total:
            return self._progress()
        if state.running:
            return self._busy()
        return self._step() if state.cursor >= 0 else self._waiting()

    def _waiting(self) -> Content:
        state = self.state
        if state.phase is Phase.PREPARING:
            what = f"{self._waits()}{visible(state.what) or 'starting'}…"
            return Content.assemble((f" {_sign()} ", "$accent"), (what, "$quiet"))
        if state.phase is Phase.RECORDED:
            return Content.styled(" nothing was recorded", "$quiet")
        return Content.assemble((" Enter", "bold $primary"), (" runs the prompt", "$quiet"))

    def _busy(self) -> Content:
        text = (
            f" {_sign()} starting"
            if self.state.phase is Phase.STARTING
            else f" {self._waits()}running · {self.state.frontier} recorded"
        )
        return self._line(Content.styled(text, "$running"), self._end())

    def _progress(self) -> Content:
        progress = self.state.progress
        done = min(1.0, progress.done / progress.total)
        roomy = self.size.width >= _ROOMY
        amount = f"  {size(progress.done)} of {size(progress.total)}" if roomy else ""
        right = Content.assemble(bar(done, self._gauge), self._end(f" {done:.0%} · "))
        before = f" {self._waits()}"
        room = self.size.width - right.cell_length - len(before) - len(amount) - 1
        text = Content.styled(before + _end_of(visible(progress.what, 80), room), "$running")
        return self._line(Content.assemble(text, (amount, "$quiet")), right)

    def _waits(self) -> str:
        """How many steps have been asked for beyond the one that runs."""
        count = self.state.waiting
        return f"{count} step{'s' if count > 1 else ''} to go · " if count else ""

    def _end(self, note: str = "") -> Content:
        peak = f"peak about {about_size(self.state.plan.peak)} · " if self.state.plan is not NO_PLAN else ""
        return Content.assemble((f"{note}{peak}", "$quiet"), ("Esc", "bold $accent"), " cancels ")

    @property
    def _gauge(self) -> int:
        return _GAUGE if self.size.width >= _ROOMY else _SMALL_GAUGE

    def _step(self) -> Content:
        state, record = self.state, self.state.record
        fired = " · ".join(hit_line(hit) for hit in state.hits)
        if self.size.width < _SMALL and not fired:
            step = f" {state.cursor} of {state.frontier} "
            return Content.assemble((step, "bold"), fit_end(record.key, max(1, self.size.width - len(step))))
        text = Content.assemble(
            (f" ● {fired} " if fired else "", "bold $waiting"),
            (f" step {state.cursor} · {state.frontier} recorded", "bold"),
            ("  ·  ", "$quiet"),
            visible(record.key, 200),
            ("  ·  ", "$quiet"),
            (f"depth {record.depth}", "$quiet"),
        )
        return self._line(text, Content(""))

    def _line(self, left: Content, right: Content) -> Content:
        room = self.size.width - right.cell_length - 1
        left = left.truncate(max(1, room), ellipsis=True)
        return Content.assemble(left, " " * (self.size.width - left.cell_length - right.cell_length), right)


def _end_of(name: str, room: int) -> str:
    """A module's name without its beginning where it is too long: its end says which matrix it is."""
    return name if len(name) <= room or " " in name else f"…{name[len(name) - max(1, room - 1) :]}"


def _sign() -> str:
    return FRAMES[int(time.monotonic() / FRAME_SECONDS) % len(FRAMES)]


def bar(done: float, width: int) -> Content:
    """A bar filled from the left: `━━━━╌╌╌╌`."""
    filled = round(max(0.0, min(1.0, done)) * width)
    return Content.assemble(("━" * filled, "$primary"), ("╌" * (width - filled), "$rule"))

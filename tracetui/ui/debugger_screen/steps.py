"""Going through the run: steps, jumps, and on to a site."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tracetui.debugger.no_step import nothing_yet
from tracetui.debugger.session import Event, Finished, Stopped
from tracetui.errors import InputError
from tracetui.recording.record import when
from tracetui.recording.sites import SitePattern, parse_pattern
from tracetui.recording.stepping import Step
from tracetui.text import visible
from tracetui.ui.debugger_screen.host import Handlers, Host, TreeLine
from tracetui.ui.debugger_screen.questions import LineQuestions
from tracetui.ui.dialogs.ask import AskScreen, Question

MOST_REPEATS = 1000
_STEPS = {
    "into": Step.INTO,
    "over": Step.OVER,
    "out": Step.OUT,
    "layer": Step.LAYER,
    "pass": Step.LATER,
    "back": None,
}
"""What can be repeated, as it is typed: a layer further, a pass further, a record back."""


class StepActions:
    """The rules are the driver's; here is what is typed and said."""

    def __init__(
        self, host: Host, line: TreeLine, questions: LineQuestions, block_beside: Callable[[int], int | None]
    ) -> None:
        """block_beside: the record of the next layer's choice of experts (1) or the one before (-1).

        None where that isn't what a step by layer means.
        """
        self._host = host
        self._line = line
        self._questions = questions
        self._block_beside = block_beside
        self._sought: tuple[SitePattern, str] | None = None
        """The site that the model runs on to, and what is to be said if it ends before."""

    @property
    def handlers(self) -> Handlers:
        driver = self._host.driver
        return {
            "over": partial(self.step, Step.OVER),
            "into": partial(self.step, Step.INTO),
            "out": partial(self.step, Step.OUT),
            "back": lambda: self._host.show(driver.back()),
            "record_before": self.record_before,
            "continue": partial(self.step, Step.END),
            "next_layer": self.next_layer,
            "previous_layer": self.previous_layer,
            "next_pass": partial(self.step, Step.LATER),
            "previous_pass": lambda: self._host.show(driver.pass_back()),
            "first": lambda: self._host.show(driver.first()),
            "last": lambda: self._host.show(driver.last()),
            "pause": lambda: self._host.show(driver.pause()),
            "until": self.until,
            "run_to_line": self.run_to_line,
            "repeat": self.repeat,
            "jump": self.jump,
        }

    def step(self, step: Step) -> None:
        self._host.show(self._host.driver.step(step))

    def record_before(self) -> None:
        """To the very record before, whatever its depth."""
        cursor, driver = self._host.state.cursor, self._host.driver
        self._host.show("this is the first record" if cursor == 0 else driver.jump(cursor - 1))

    def next_layer(self) -> None:
        if not self._to_block(1):
            self.step(Step.LAYER)

    def previous_layer(self) -> None:
        if not self._to_block(-1):
            self._host.show(self._host.driver.layer_back())

    def _to_block(self, by: int) -> bool:
        index = self._block_beside(by)
        if index is not None:
            self.to(index)
        return index is not None

    def to(self, index: int | None) -> None:
        """To a record; None leads nowhere."""
        if index is not None:
            self._host.show(self._host.driver.jump(index))

    def to_module(self, path: str) -> None:
        """To a module's own record, of the pass on view where it has one."""
        state = self._host.state
        site = path or "logits"
        record = state.trace.find(f"{site}{when(state.record.pass_)}") or state.trace.find(site)
        if record is not None and record.index < state.frontier:
            self.to(record.index)
        else:
            self._host.show(f"{path or 'the model'} has no record {'yet' if state.under_way else 'of its own'}")

    def fill(self, role: str) -> None:
        """On to the next record of a role, with which an empty pane has something to show."""
        self._host.show(self._host.driver.until(lambda record: record.role == role, "no later record fills this pane"))

    def jump(self) -> None:
        """To a record by its site."""
        from tracetui.ui.dialogs.jump import JumpScreen

        state = self._host.state
        if not state.frontier:
            self._host.show(nothing_yet(state))
            return
        self._host.push(JumpScreen(state.trace.records, state.frontier), self.to)

    def until(self) -> None:
        """On to a site that is typed."""
        self._host.push(AskScreen(self._questions.until()), self._until_typed)

    def _until_typed(self, typed: str | None) -> None:
        if typed is not None:
            self._run_until(typed.strip())

    def run_to_line(self) -> None:
        """On to the record of the tree's line."""
        text = self._line.stop_pattern
        if not text:
            self._host.show("this line has no record to run to")
            return
        record = self._host.state.trace.find(text)
        if record is not None and record.index <= self._host.state.cursor:
            self._host.show(f"{text} has run already; Enter in the tree goes to its record")
            return
        self._run_until(text)

    def _run_until(self, site: str) -> None:
        pattern, missing = parse_pattern(site, "until"), f"no record after this one is at {visible(site, 200)}"
        remark = self._host.driver.until(lambda record: pattern.matches(record.site), missing)
        self._sought = (pattern, missing) if self._host.state.running else None
        self._host.show(remark)

    def repeat(self) -> None:
        """A step so many times."""
        hint = f"how often and which step, such as 5 over: {', '.join(_STEPS)}; up to {MOST_REPEATS} times"
        self._host.push(AskScreen(Question("Repeat a step", hint, _repetition)), self._repeat_typed)

    def _repeat_typed(self, typed: str | None) -> None:
        if typed is not None:
            driver, (count, step) = self._host.driver, _repetition(typed)
            self._host.show(driver.repeat(step, count) if step is not None else driver.back(count))

    def hear(self, event: Event) -> list[str]:
        """What is to be said when the model stops or ends: that the site run to didn't come."""
        missing: list[str] = []
        if isinstance(event, Finished) and not event.cancelled and self._sought is not None:
            pattern, text = self._sought
            missing = [] if pattern.matches(event.trace.records[-1].site) else [text]
        if isinstance(event, Stopped) or (isinstance(event, Finished) and not event.cancelled):
            self._sought = None
        return missing


def _repetition(typed: str) -> tuple[int, Step | None]:
    """`5 over` → 5 and the step, None for back; a number alone is of steps over. Raises InputError."""
    words = typed.split()
    if words and words[0].isdecimal() and len(words[0]) < 6 and len(words) <= 2:
        count, name = int(words[0]), (words[1] if len(words) > 1 else Step.OVER.value)
        if 1 <= count <= MOST_REPEATS and name in _STEPS:
            return count, _STEPS[name]
    raise InputError(f"a number from 1 to {MOST_REPEATS} and one of {', '.join(_STEPS)}, such as 5 over")

"""Keys in any order: after each, what the screen shows is what a short account of the rules says."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ui.driving import Driven, driven
from tests.ui.recording import recorded
from tracetui.debugger.state import Phase
from tracetui.recording.record import Record
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.widgets.step_bar import StepBar

RECORDS = tuple(recorded().records)
LAST = len(RECORDS) - 1
EXAMPLES = int(os.environ.get("TRACETUI_TORTURE", "0")) // 5 or 3


def inside(outer: Record, inner: Record) -> bool:
    """Whether a record is the output of a module around another's."""
    return outer.depth < inner.depth and not outer.role and (not outer.depth or inner.parent.startswith(outer.site))


@dataclass
class Account:
    """Where the model and the user are."""

    phase: Phase = Phase.READY
    frontier: int = 0
    cursor: int = -1
    stops: set[str] = field(default_factory=set)

    def press(self, key: str) -> None:
        if key == "r":
            self.phase, self.frontier, self.cursor = Phase.STOPPED, 1, 0
        elif self.cursor < 0:
            return
        elif key in "nsuc":
            self._forward(key)
        elif key == "p":
            self._back()
        elif key == "home":
            self.cursor = 0
        elif key == "end":
            self.cursor = self.frontier - 1
        elif key == "b":
            self.stops ^= {RECORDS[self.cursor].site}
        elif key == "ctrl+c" and self.phase is Phase.STOPPED:
            # Who waited stays where they were.
            self.phase = Phase.CANCELLED

    def _forward(self, key: str) -> None:
        origin = RECORDS[self.cursor]
        ends: dict[str, Callable[[Record], bool]] = {
            "n": lambda record: record.depth <= origin.depth,
            "s": lambda record: True,
            "u": lambda record: inside(record, origin),
            "c": lambda record: False,
        }
        end = len(RECORDS) if self.phase is Phase.STOPPED else self.frontier
        for index in range(self.cursor + 1, end):
            if ends[key](RECORDS[index]) or RECORDS[index].site in self.stops:
                self.cursor, self.frontier = index, max(self.frontier, index + 1)
                return
        if self.phase is Phase.STOPPED:
            self.phase, self.cursor, self.frontier = Phase.FINISHED, LAST, LAST + 1
        elif key == "c":
            self.cursor = self.frontier - 1

    def _back(self) -> None:
        depth = RECORDS[self.cursor].depth
        before = range(self.cursor - 1, -1, -1)
        nearest = self.cursor - 1 if self.cursor else 0
        self.cursor = next((index for index in before if RECORDS[index].depth <= depth), nearest)


def check(it: Driven, account: Account, pressed: list[str]) -> None:
    state = it.state
    here = (state.phase, state.frontier, state.cursor)
    assert here == (account.phase, account.frontier, account.cursor), (pressed, here)
    assert {stop.text for stop in state.stops.stops} - {"nan", "inf"} == account.stops, pressed
    if account.cursor < 0:
        return
    record = RECORDS[account.cursor]
    assert state.record.key == record.key
    bar = it.screen.query_one(StepBar)
    if not bar.remark:
        fired, _, told = str(bar.render()).partition("step ")
        assert told.startswith(f"{account.cursor} · {account.frontier} recorded"), (pressed, told)
        assert ("●" in fired) == (record.site in account.stops), (pressed, fired)
    assert it.screen.query_one(ModuleList).current == record.module.replace("logits", "")


async def pressed_in_turn(keys: list[str]) -> None:
    async with driven((100, 30)) as it:
        await it.press("enter", "2")
        account = Account(Phase.STOPPED, 1, 0)
        for place, key in enumerate(keys):
            if key == "ctrl+c" and account.phase is not Phase.STOPPED:
                # With nothing to cancel it would quit.
                continue
            await it.press(key, *_THEN.get(key, ()))
            account.press(key)
            check(it, account, keys[: place + 1])


_THEN = {**dict.fromkeys(("E", "X", "B", "slash", "question_mark"), ("escape",)), "r": ("enter",)}
"""What is pressed after a key: `r` goes to the prompt, a dialog is left."""
KEYS = ("n", "s", "u", "c", "p", "b", "r", "home", "end", "E", "X", "B", "slash", "question_mark", "escape", "ctrl+c")


@settings(
    max_examples=EXAMPLES,
    derandomize=EXAMPLES < 10,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(st.lists(st.sampled_from(KEYS[:9]) | st.sampled_from(KEYS), min_size=12, max_size=16))
def test_after_any_keys_the_screen_is_where_the_rules_say(keys: list[str]) -> None:
    asyncio.run(pressed_in_turn(keys))

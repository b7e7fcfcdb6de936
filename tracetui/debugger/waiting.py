"""Steps asked for while the model runs, taken one after another as it stops."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tracetui.recording.stepping import Step

MOST_WAITING = 50


class WaitingSteps:
    """A queue that knows what it refuses, and why."""

    def __init__(self) -> None:
        self._steps: deque[Step] = deque()
        self.to_the_end = False
        """Whether the model runs to the end already: no step is of use then."""

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def add(self, step: Step) -> str:
        """Keep a step until the model stops, or say why not; running on to the end replaces all others."""
        if self.to_the_end:
            return "the model runs on to the end; Space stops it, Esc cancels"
        if step is Step.END:
            self._steps.clear()
        if len(self._steps) >= MOST_WAITING:
            return f"{MOST_WAITING} steps wait already; Space drops them"
        self._steps.append(step)
        return ""

    def repeat(self, step: Step, count: int) -> None:
        """A step so many times, after those that wait."""
        self._steps.extend([step] * count)

    def next(self) -> Step:
        """Take the first one."""
        return self._steps.popleft()

    def clear(self) -> None:
        self._steps.clear()

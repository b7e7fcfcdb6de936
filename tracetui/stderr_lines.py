"""What goes on during a run without a screen, on stderr: a plan, a line that changes, notes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import suppress

from tracetui.analysis.memory import MemoryPlan
from tracetui.debugger.session import Advanced, Event, Prepared, Preparing, Progress, Started
from tracetui.signals import check_signals
from tracetui.text import size, visible
from tracetui.views.run.plan import part_lines, plan_line
from tracetui.views.run.prompts import preview_lines

_NOTICE_SECONDS = 0.1


class Teller:
    """Says on stderr what goes on, and ends the run if told to; the plan and a line that changes on terminals only."""

    def __init__(self, quiet: bool) -> None:
        """quiet: leave out what the result says itself."""
        self._changing = sys.stderr.isatty()
        self._quiet = quiet
        self.plan: MemoryPlan | None = None
        self._next = 0.0

    def tell(self, event: Event) -> None:
        check_signals()
        if isinstance(event, Started):
            self.plan = event.plan
            if self._changing:
                self._lines(plan_line(event.plan), *part_lines(event.plan))
        elif isinstance(event, Prepared):
            self._lines(*preview_lines(event.preview.rows, event.preview.prompts.chat))
        elif isinstance(event, Advanced):
            self._change(f"running · {event.frontier} recorded")
        elif isinstance(event, Preparing):
            self._change(event.what)
        elif isinstance(event, Progress) and event.total:
            self._change(f"making {event.what} {event.done / event.total:4.0%} of {size(event.total)}")

    def written(self, done: int, total: int) -> None:
        """How many bytes of values of how many are in the file."""
        check_signals()
        self._change(f"writing {done / max(1, total):4.0%} of {size(total)}")

    def compared(self, done: int, total: int) -> None:
        """How many sites of how many are compared, told some ten times a second."""
        check_signals()
        if self._changing and (now := time.monotonic()) >= self._next:
            self._next = now + _NOTICE_SECONDS
            self._change(f"comparing {done:,} of {total:,} sites")

    def _lines(self, *lines: str) -> None:
        self.clear()
        if not self._quiet:
            for line in lines:
                self._say(f"{line}\n")

    def warn(self, lines: Iterable[str]) -> None:
        """Lines beside the result."""
        for line in lines:
            self._say(f"{line}\n")

    def clear(self) -> None:
        if self._changing:
            self._say("\r\x1b[K")

    def _change(self, text: str) -> None:
        if self._changing:
            self._say(f"\r\x1b[K{visible(text, 78)}")

    def _say(self, text: str) -> None:
        # Nobody may be reading any more: that ends no run.
        with suppress(OSError):
            print(text, end="", file=sys.stderr, flush=True)

"""Which modules have run so far, and which experts of a list that is folded in the tree."""

from __future__ import annotations

from tracetui.debugger.module_rows import expert_lists
from tracetui.debugger.state import ScreenState
from tracetui.recording.outline import NO_MODULE, Module
from tracetui.recording.record import Record


class RanModules:
    """Of one module tree and one run of it, while that grows."""

    def __init__(self, outline: Module = NO_MODULE) -> None:
        self.lists = expert_lists(outline)
        """Paths of modules whose experts stand on one line."""
        self.sites: set[str] = set()
        self.experts: dict[str, set[int]] = {}
        """By the path of a list, the experts that have records of their own."""
        self._seen = 0
        self._last: Record | None = None

    def hear(self, state: ScreenState) -> bool:
        """Note what has run since the last time, or all of it, if this is another run; whether there was any."""
        records, seen_before = state.trace.records, (self._seen, self._last)
        if self._seen and (state.frontier < self._seen or records[self._seen - 1] is not self._last):
            self.experts, self.sites, self._seen = {}, set(), 0
        for record in records[self._seen : state.frontier]:
            self.sites.add(record.site)
            if self.is_expert(record.site):
                experts, _, number = record.site.rpartition(".")
                self.experts.setdefault(experts, set()).add(int(number))
        self._seen = state.frontier
        self._last = records[self._seen - 1] if self._seen else None
        return seen_before != (self._seen, self._last)

    def is_expert(self, path: str) -> bool:
        """Whether a path is that of one of the experts that stand on one line."""
        experts, _, number = path.rpartition(".")
        return experts in self.lists and number.isdecimal()

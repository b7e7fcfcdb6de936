"""The lines of the module tree, and which of them have to be made again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from tracetui.debugger.module_rows import ModuleRow, modules_by_path, rows_again, rows_of
from tracetui.recording.outline import NO_MODULE, Module
from tracetui.ui.panes.modules.matching import rows_around
from tracetui.ui.panes.modules.ran import RanModules
from tracetui.ui.panes.modules.run_numbers import ModuleRanking


class _StandsFor(NamedTuple):
    """What decides the lines; `opened` comes last."""

    outline: Module
    filtered_by: str
    hit: tuple[int, ...]
    """How many experts of each list have lines of their own."""
    ranking: ModuleRanking | None
    opened: frozenset[str]


class TreeLines:
    """Of one tree. What was folded or unfolded alone is made again: there may be tens of thousands of lines."""

    def __init__(self) -> None:
        self.rows: list[ModuleRow] = []
        self.places: dict[str, int] = {}
        """Where the line of a path is: the first, if there are several."""
        self._modules: dict[str, Module] = {}
        self._outline = NO_MODULE
        self._before: _StandsFor | None = None

    def make(
        self,
        outline: Module,
        opened: Collection[str],
        ran: RanModules,
        ranking: ModuleRanking | None,
        filtered_by: str,
        matches: Sequence[str],
    ) -> bool:
        """The lines of what is open; of what is searched for, and of what is around it; or in another order.

        False where they stand for the same already.
        """
        hit = tuple(len(ran.experts.get(path, ())) for path in ran.lists)
        now, before = _StandsFor(outline, filtered_by, hit, ranking, frozenset(opened)), self._before
        if now == before:
            return False
        self._before = now
        if ranking is not None:
            self.rows = ranking.rows
        elif filtered_by:
            self.rows = rows_around(matches, outline, ran.experts)
        else:
            again = self._again(before, now, ran) if before is not None and now[:-1] == before[:-1] else None
            self.rows = rows_of(outline, opened, ran.experts) if again is None else again
        paths = [row.path for row in self.rows]
        self.places = dict(zip(reversed(paths), range(len(paths) - 1, -1, -1), strict=True))
        return True

    def _again(self, before: _StandsFor, now: _StandsFor, ran: RanModules) -> list[ModuleRow] | None:
        if self._outline is not now.outline:
            self._outline, self._modules = now.outline, modules_by_path(now.outline)
        if len(self.places) != len(self.rows):
            return None
        changed = before.opened ^ now.opened
        return rows_again(self.rows, self.places, self._modules, changed, now.opened, ran.experts)

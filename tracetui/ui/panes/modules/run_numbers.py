"""The run's numbers beside the modules of the tree: read in the background, of the lines that are seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from textual.worker import get_current_worker

from tracetui.analysis.module_numbers import ModuleBook, ModuleNumbers, SortBy, fetched, sorted_paths
from tracetui.debugger.module_rows import ModuleRow
from tracetui.debugger.state import ScreenState
from tracetui.ui.reader import read_in_background
from tracetui.ui.widgets.nearby import site_in_layer
from tracetui.views.module_columns import ROOMY, TREND, RunColumn, cells_of, heading, run_columns

if TYPE_CHECKING:
    from tracetui.ui.panes.modules.pane import ModuleList

_MOST_PASSES = 64
"""Of a trend, the last ones."""
_ORDER = tuple(SortBy)


@dataclass(frozen=True, eq=False, slots=True)
class ModuleRanking:
    """All modules that have a number, the largest first."""

    order: tuple[str, ...]
    rows: list[ModuleRow]
    numbers: Mapping[str, ModuleNumbers]


@dataclass(frozen=True, eq=False, slots=True)
class Fetched:
    """What was read for the lines on view."""

    numbers: Mapping[str, ModuleNumbers]
    measured: frozenset[str]
    """Those whose trend was looked at."""
    ranking: ModuleRanking | None
    """None where nobody asked for one."""


class RunNumbers:
    """Of one tree; what is known of a module is kept as long as the run and the pass are on view."""

    def __init__(self, tree: ModuleList) -> None:
        self._tree = tree
        self._book = ModuleBook()
        self._numbers: dict[str, ModuleNumbers] = {}
        self._with_trends: set[str] = set()
        """Modules whose trend was looked at, whatever came of it."""
        self._known_for: object = None
        self._asked_for: object = None
        self._ranked_for: object = None
        self.chosen = False
        """Whether the user wants the columns in a narrow tree too."""
        self.by = SortBy.TREE
        self.ranking: ModuleRanking | None = None
        """Where modules don't stand in the order of the tree; None until it is known."""
        self.columns_changed: Callable[[], None] = lambda: None
        """Called when there may be other columns."""

    def of(self, path: str) -> ModuleNumbers | None:
        """What is known by now."""
        return self._numbers.get(path) or (self.ranking.numbers.get(path) if self.ranking else None)

    @property
    def columns(self) -> tuple[RunColumn, ...]:
        """Those that are shown."""
        width = self._tree.cells - 2
        wanted = self.chosen or self.by is not SortBy.TREE or width >= ROOMY
        return run_columns(width, self.by) if wanted and self._tree.state.frontier else ()

    @property
    def over(self) -> str:
        """What a trend goes over, in a word."""
        return "passes" if len(self._tree.state.trace.cache) or self._tree.state.record.pass_ else "tokens"

    def heading(self) -> str:
        """The columns' names, each over its own."""
        columns = self.columns
        behind = cells_of(self._tree.cells - 2, columns)[1]
        if not columns and self.ranking is not None:
            # In what order lines stand is said, though there is no room for the numbers.
            return f"▾{self.by}"
        return f"{heading(columns, self.by, self.over)}{' ' * behind}" if columns else ""

    def choose(self, chosen: bool) -> None:
        """Show the columns however narrow the tree is, or only where there is room."""
        self.chosen = chosen
        self.follow()
        self.columns_changed()
        self._tree.refresh()

    def next_order(self, to: SortBy | None = None) -> SortBy:
        """The next column, the largest first; after the last one the order of the tree; or one that is asked for."""
        self.by = _ORDER[(_ORDER.index(self.by) + 1) % len(_ORDER)] if to is None else to
        self.ranking = self._ranked_for = None
        self.follow()
        self.columns_changed()
        return self.by

    def follow(self) -> None:
        """Have what is seen now be read, unless it is known."""
        columns = self.columns
        if not columns and self.by is SortBy.TREE:
            return
        state, by = self._tree.state, self.by
        self._forget(state)
        if state.running and self.ranking:
            # In order again once the model rests: lines that change places can't be read.
            return
        trends = any(column.name == TREND for column in columns)
        paths = [path for path in self._tree.seen if not self._is_known(path, trends)]
        ranked_for = (self._known_for, state.frontier, by, self._tree.filtered_by)
        ranks = by is not SortBy.TREE and ranked_for != self._ranked_for
        asked_for = (ranked_for, tuple(paths))
        if (paths or ranks) and asked_for != self._asked_for:
            self._asked_for = asked_for
            text = self._tree.filtered_by if ranks else None
            work = partial(self._read, self._book, state, paths, trends, by, text)
            then = partial(self._show, ranked_for)
            read_in_background(self._tree, "module numbers", work, then, lambda: self._book)

    def _forget(self, state: ScreenState) -> None:
        """What is known of another run, another pass or another prompt."""
        if not self._book.is_of(state.trace, state.frontier):
            self._book, self._known_for = ModuleBook(), None
        known_for = (self._book, self._pass, state.batch)
        if self._known_for != known_for:
            self._known_for, self._numbers, self._asked_for = known_for, {}, None
            self._with_trends = set()

    @property
    def _pass(self) -> int:
        return self._tree.state.record.pass_

    def _is_known(self, path: str, trends: bool) -> bool:
        """Whether nothing more is to be learnt of a module."""
        known = self._numbers.get(path)
        return not self._tree.has_run(path) if known is None else not trends or path in self._with_trends

    def _read(
        self, book: ModuleBook, state: ScreenState, paths: list[str], trends: bool, by: SortBy, text: str | None
    ) -> Fetched:
        """In a thread. text: what the paths of the modules that are ranked hold; None: none are."""
        worker, pass_, trace = get_current_worker(), state.record.pass_, state.trace
        book.extend(trace, state.frontier)
        ranking = None
        if text is not None:
            order, ranked = sorted_paths(book, trace, pass_, by, text, lambda: worker.is_cancelled)
            rows = [_row(path, site_in_layer(trace.records[ranked[path].index])) for path in order]
            ranking = ModuleRanking(order, rows, ranked)
            paths = [*paths, *order[: self._tree.size.height]]
        numbers = fetched(book, trace, paths, pass_, lambda: worker.is_cancelled)
        measured = [path for path in dict.fromkeys(paths) if trends and path in numbers]
        for path in measured:
            if not worker.is_cancelled:
                trend = book.trend(trace, path, pass_, state.batch, _MOST_PASSES)
                numbers[path] = replace(numbers[path], trend=trend)
        return Fetched(numbers, frozenset(measured), ranking)

    def _show(self, ranked_for: object, read: Fetched) -> None:
        known = self._numbers
        for path, numbers in read.numbers.items():
            if path in read.measured or path not in known:
                known[path] = numbers
        self._with_trends |= read.measured
        if read.ranking is not None:
            self.ranking, self._ranked_for = read.ranking, ranked_for
            self._tree.rebuild()
            self.columns_changed()
        self._tree.refresh()


def _row(path: str, name: str) -> ModuleRow:
    """A line without anything around it."""
    return ModuleRow(path, 0, name, "layer" if name.isdecimal() else "")

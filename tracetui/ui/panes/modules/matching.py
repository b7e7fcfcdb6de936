"""Which modules have a path that holds a text."""

from __future__ import annotations

from collections.abc import Sequence

from tracetui.debugger.module_rows import Hit, ModuleRow, ancestors, rows_of
from tracetui.debugger.session import Module


def holding(paths: Sequence[str], text: str) -> list[str]:
    """The paths that hold a text, in order; none for an empty text."""
    return [path for path in paths if text.lower() in path.lower()] if text else []


def next_holding(paths: Sequence[str], text: str, here: str, by: int) -> str | None:
    """The next path after `here` that holds a text, or the one before where `by` is -1; after the last the first."""
    matches, order = holding(paths, text), {path: index for index, path in enumerate(paths)}
    at = order.get(here, -1)
    if not matches:
        return None
    if by > 0:
        return next((path for path in matches if order[path] > at), matches[0])
    return next((path for path in reversed(matches) if order[path] < at), matches[-1])


def rows_around(matches: Sequence[str], outline: Module, hit: Hit) -> list[ModuleRow]:
    """The lines of these paths, and of what is around them."""
    around = set[str]().union(*map(ancestors, matches))
    kept = around.union(matches)
    return [row for row in rows_of(outline, around, hit) if row.path in kept]

"""Edits in words: what came of those that a run was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.expr.edit import EditTally
from tracetui.text import visible


def unapplied_lines(tallies: Sequence[EditTally]) -> Iterator[str]:
    """Every edit that was on and changed nothing, or not all that it names, and why."""
    for tally in tallies:
        if not tally.edit.on or (tally.applied and not tally.untold):
            continue
        why = visible(tally.untold, 200) or "nothing that can be edited has such a site"
        what = f"changed {tally.applied}, not all that it names" if tally.applied else "changed nothing"
        yield f"edit {visible(tally.edit.text, 200)} {what}: {why}"

"""Edits in words: what came of those that a run was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.expr.edit import Edit, EditTally
from tracetui.text import visible


def unapplied_lines(tallies: Sequence[EditTally]) -> Iterator[str]:
    """Every edit that was on and changed nothing, or not all that it names, and why."""
    for tally in tallies:
        if not tally.edit.on or (tally.applied and not tally.untold):
            continue
        why = visible(tally.untold, 200) or _missing(tally.edit)
        what = f"changed {tally.applied}, not all that it names" if tally.applied else "changed nothing"
        yield f"edit {visible(tally.edit.text, 200)} {what}: {why}"


def _missing(edit: Edit) -> str:
    if edit.expert is not None:
        return f"no token went to expert {edit.expert} of such a block, or none has experts"
    if edit.action.name == "experts":
        return "no block with experts has such a site"
    return "nothing that can be edited has such a site"

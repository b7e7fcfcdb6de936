"""What comes back of a note beside what the command line says, which always wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tracetui.debugger.memory.keeper import Keeper
from tracetui.debugger.memory.note import NO_NOTE, SessionNote, told
from tracetui.expr.edit import MOST_EDITS, Edit
from tracetui.expr.stop import DEFAULT_STOPS, MOST_STOPS, Stop, with_defaults
from tracetui.recipe.prompts import Prompts

FORGETS = "--fresh forgets"


@dataclass(frozen=True, eq=False, slots=True)
class Restored:
    """What the screen starts with, and who keeps what it ends with."""

    note: SessionNote = NO_NOTE
    remarks: tuple[str, ...] = ()
    """Which parts could not be restored, and why."""
    keeper: Keeper | None = None
    """None: nothing is remembered."""
    own: Prompts | None = None
    """The recipe's own prompts, which need not be remembered."""
    told: str = ""
    """For the user: `from last time: 2 stops, the prompt; --fresh forgets`; empty if nothing came back."""


NOTHING_RECALLED = Restored()


def stops_beside(stops: Sequence[Stop], defaults: bool, last: Sequence[Stop]) -> tuple[Stop, ...]:
    """The stops of a run: last time's; or, if the user named some, those with last time's others switched off.

    defaults: whether nan and inf are asked for; if not, last time's are switched off too.
    """
    if not stops and defaults:
        return tuple(last)
    first = with_defaults(stops, defaults)
    known = {stop.text for stop in first}
    return (*first, *(replace(stop, on=_stays(stop, stops)) for stop in last if stop.text not in known))[:MOST_STOPS]


def _stays(stop: Stop, stops: Sequence[Stop]) -> bool:
    return stop.on and not stops and stop.text not in {default.text for default in DEFAULT_STOPS}


def edits_beside(edits: Sequence[Edit], last: Sequence[Edit]) -> tuple[Edit, ...]:
    """The edits that the user asked for, with last time's others switched off: nothing is changed unasked."""
    known = {edit.text for edit in edits}
    return (*edits, *(replace(edit, on=False) for edit in last if edit.text not in known))[:MOST_EDITS]


def in_words(note: SessionNote) -> str:
    """The line on the first screen."""
    return f"from last time: {what}; {FORGETS}" if (what := told(note)) else ""

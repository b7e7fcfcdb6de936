"""What the screen knows of edits: which records one can still change, and which lines of the tree it names."""

from __future__ import annotations

import re
from dataclasses import replace

from tracetui.expr.actions import ACTIONS, PLACES, ROLES
from tracetui.expr.edit import Edit
from tracetui.recording.record import BEFORE_EDIT, Record
from tracetui.recording.sites import SitePattern

_ACTION_NAMES = frozenset(form.name for form in ACTIONS)
_IS_PLACE = re.compile(rf"\s*(?:{'|'.join(form.name for form in PLACES if form.name != 'slice')})\s+-?\d")


def names(edit: Edit, record: Record) -> bool:
    """Whether an edit changes what a record holds."""
    holder, _, number = record.site.rpartition(".")
    part = f"#{record.part}" if record.part else ""
    if number.isdecimal() and edit.expert is not None:
        return edit.is_for_expert(holder.rpartition(".")[0], holder, int(number))
    return edit.is_for(f"{record.site}{part}")


def keeps_from_changing(edit: Edit, record: Record) -> str:
    """Why an edit can't change the record at which the model waits any more; empty if it can."""
    if not names(edit, record):
        return "the edit names other tensors"
    if record.edited:
        return "this tensor is edited already"
    if record.role not in ("", *ROLES):
        return "what the model goes on with is no copy of this tensor"
    if edit.action.name == "skip":
        return "a module is skipped from before it runs"
    return ""


def names_line(edit: Edit, site: str) -> bool:
    """Whether an edit names this module's output, or something computed in it."""
    module = edit.pattern.text.partition(":")[0]
    return bool(module.strip("*")) and SitePattern(module).matches(site)


def offered(record: Record) -> str:
    """The beginning of an edit of a record."""
    site = record.site.removesuffix(f":{BEFORE_EDIT}")
    role = site.partition(":")[2]
    return f"{site if role in ('', *ROLES) else record.module}: " if site else ""


def with_site(begun: str, typed: str) -> str:
    """An edit as it is typed, with the site of the one begun before an action or a place that stands alone."""
    first = typed.split(maxsplit=1)[0].rstrip(":") if typed.strip() else ""
    if begun and first in _ACTION_NAMES and not typed.strip().startswith(f"{first}:"):
        return f"{begun}{typed}"
    return f"{begun.rstrip(' :')} {typed}" if begun and _IS_PLACE.match(typed) else typed


def switched(edits: tuple[Edit, ...], at: int) -> tuple[Edit, ...]:
    """The edits with one of them on instead of off, or off instead of on."""
    return tuple(replace(edit, on=not edit.on) if place == at else edit for place, edit in enumerate(edits))


def run_with(edits: tuple[Edit, ...]) -> str:
    """What is said of a run that edits change; empty where none does."""
    count = sum(edit.on for edit in edits)
    return f"run with {count} edit{'s' if count > 1 else ''}; X lists them, Space there leaves one out" if count else ""

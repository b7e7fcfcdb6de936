"""Other traces that edits take tensors from: `replace @F.npz [SITE]`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tracetui.errors import InputError
from tracetui.expr.edit import Edit, ReplacementSource
from tracetui.recording.dumps import open_recorded
from tracetui.recording.record import Record
from tracetui.recording.sites import SitePattern
from tracetui.recording.trace import Trace
from tracetui.text import visible


def check_sources(edits: Sequence[Edit], where: str) -> None:
    """Open the files that edits take tensors from, and look for their sites. Raises InputError."""
    opened = cache(open_source)
    for edit in edits:
        if (source := edit.action.source) is None:
            continue
        trace = opened(source.path, where)
        if source.site:
            key_in(trace, source, "", where, edit.head is not None)
        elif not any(_is_for(edit, record) for record in trace.records):
            raise InputError(
                f"{where}: {visible(source.path, 200)}: has nothing at {edit.pattern.text}; name a site of it"
            )


def open_source(path: str, where: str) -> Trace:
    """Another trace, its values mapped. Raises InputError."""
    try:
        return open_recorded(Path(path))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def key_in(trace: Trace, source: ReplacementSource, key: str, where: str, by_head: bool = False) -> str:
    """The key (`site#part@pass.call`) in `trace` of the record that replaces the one with this `key`.

    by_head: one head is replaced, so that `:heads` is read if the site names no role. Raises InputError if there is no
    such site.
    """
    if not source.site:
        return key
    site, _, at = source.site.partition("@")
    ending = f"{site}:heads" if by_head and ":" not in site else site
    pattern = SitePattern(ending)
    sites = {name for record in trace.records if pattern.matches(name := _name(record))}
    sites = {ending} if ending in sites else sites
    if len(sites) != 1:
        problem = "has nothing at" if not sites else f"has {len(sites)} sites that end in"
        raise InputError(f"{where}: {visible(source.path, 200)}: {problem} {visible(ending, 200)}")
    at = at or key.partition("@")[2]
    return f"{sites.pop()}{f'@{at}' if at not in ('', '0') else ''}"


def _name(record: Record) -> str:
    return f"{record.site}#{record.part}" if record.part else record.site


def _is_for(edit: Edit, record: Record) -> bool:
    holder, _, number = record.site.rpartition(".")
    if edit.expert is not None and number.isdecimal():
        return edit.is_for_expert(holder.rpartition(".")[0], holder, int(number))
    return edit.is_for(_name(record))

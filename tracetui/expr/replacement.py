"""Tensors that an edit takes from another trace: `replace @F.npz [SITE]`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.errors import InputError
from tracetui.text import visible
from tracetui.trace.dumps import open_recorded
from tracetui.trace.record import Record
from tracetui.trace.sites import MAX_PATTERN, SitePattern
from tracetui.trace.trace import Trace

if TYPE_CHECKING:
    from tracetui.expr.edit import Edit

REPLACE = "replace"
_BEGIN = re.compile(rf":\s*{REPLACE}(?=\s|$)")
_PATH = re.compile(r'@(?:"([^"]+)"|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class Source:
    """A record of another trace."""

    path: str
    """As it was typed."""
    site: str = ""
    """Or the end of one; empty: the site that is edited."""

    def __str__(self) -> str:
        path = f'"{self.path}"' if re.search(r"\s", self.path) else self.path
        return f"@{path} {self.site}".rstrip()


def separator(text: str) -> int | None:
    """Where the colon before an edit's action stands: the last one outside of brackets, if no path follows it."""
    if (found := _BEGIN.search(text)) is not None:
        return found.start()
    depth, at = 0, None
    for place, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == ":" and depth <= 0:
            at = place
    return at


def parse_source(text: str, at: int, refuse: Callable[[int, str], object]) -> Source:
    """What stands behind `replace`, from character `at` on; what is wrong is told with its place."""
    start = len(text) - len(text[at:].lstrip())
    found = _PATH.match(text, start)
    if found is None:
        refuse(start, '`replace @F.npz [SITE]` is expected; a path with spaces stands in quotes: @"my run.npz"')
        raise AssertionError
    rest = text[found.end() :]
    site = rest.strip()
    if site and (rest[0] != " " or len(site.split()) > 1):
        refuse(found.end(), 'one SITE may follow the file; a path with spaces stands in quotes: @"my run.npz"')
    if len(site) > MAX_PATTERN or set(site) & set("*?"):
        refuse(len(text) - len(rest.lstrip()), f"one site is expected, of up to {MAX_PATTERN} characters, no pattern")
    return Source(found[1] or found[2], site)


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


def key_in(trace: Trace, source: Source, key: str, where: str, by_head: bool = False) -> str:
    """Under which key a trace has what stands here under `key`, `site#part@pass.call`.

    by_head: a head is wanted, and so `:heads` where the site names no role. Raises InputError if there is no such site.
    """
    if not source.site:
        return key
    site, _, at = source.site.partition("@")
    wanted = f"{site}:heads" if by_head and ":" not in site else site
    pattern = SitePattern(wanted)
    found = {name for record in trace.records if pattern.matches(name := _name(record))}
    found = {wanted} if wanted in found else found
    if len(found) != 1:
        problem = "has nothing at" if not found else f"has {len(found)} sites that end in"
        raise InputError(f"{where}: {visible(source.path, 200)}: {problem} {visible(wanted, 200)}")
    at = at or key.partition("@")[2]
    return f"{found.pop()}{f'@{at}' if at not in ('', '0') else ''}"


def _name(record: Record) -> str:
    return f"{record.site}#{record.part}" if record.part else record.site


def _is_for(edit: Edit, record: Record) -> bool:
    holder, _, number = record.site.rpartition(".")
    if edit.expert is not None and number.isdecimal():
        return edit.is_for_expert(holder.rpartition(".")[0], holder, int(number))
    return edit.is_for(_name(record))

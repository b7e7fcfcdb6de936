"""Differences that an edit made, as the traces say: they are no faults."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tracetui.analysis.diff.effects import edits_of_sides
from tracetui.analysis.diff.feeds import Feeds
from tracetui.analysis.diff.result import Comparison, SiteDiff


@dataclass(frozen=True, slots=True)
class KnownEdit:
    """An edit that one side had, or both had otherwise, and that explains a difference."""

    sides: tuple[str, ...]
    """`A`, `B`."""
    site: str = ""
    """What it changed, of what lies between a site and its inputs; empty where it is the site itself."""


def known_edit(comparison: Comparison, site: SiteDiff, fed: Feeds) -> KnownEdit | None:
    """The edit that changed a site, or something between it and its inputs; None where no trace says so."""
    of_a, of_b = edits_of_sides(comparison.a, comparison.b)
    sides = tuple(side for side, named in (("A", site.pair.a), ("B", site.pair.b)) if named.record.edited)
    if len(sides) == 1 or (sides and of_a != of_b):
        return KnownEdit(sides)
    return next(_between(comparison, fed), None)


def _between(comparison: Comparison, fed: Feeds) -> Iterator[KnownEdit]:
    """Edits of what one side alone recorded on the way."""
    for side, lone in (("A", comparison.alignment.only_a), ("B", comparison.alignment.only_b)):
        edited = {named.site for named in lone if named.record.edited}
        yield from (KnownEdit((side,), site) for site in fed.between if site in edited)

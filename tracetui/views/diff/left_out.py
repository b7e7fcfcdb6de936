"""Which sites of a comparison have no numbers beside each other, and why: on one side alone, or not to be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.folding import folded
from tracetui.analysis.diff.result import Comparison
from tracetui.views.diff.format import entry

_SOME = 5


def alone_lines(comparison: Comparison, whole: bool, width: int) -> Iterator[str]:
    """Sites that one side alone has, or has come to; without `whole` the first places."""
    alignment = comparison.alignment
    for side, lone in (("A", alignment.only_a), ("B", alignment.only_b)):
        yield from entry(f"only in {side}", _named(comparison, lone, whole), width, None)
    for side, ahead in (("A", alignment.ahead_b), ("B", alignment.ahead_a)):
        places = _named(comparison, ahead, whole)
        yield from entry("not run", [f"in {side} yet: {', '.join(places)}"] if places else [], width)


def skipped_lines(comparison: Comparison, whole: bool, width: int) -> Iterator[str]:
    """Sites that both sides have and whose numbers were not compared, with the reasons."""
    for why, sites in comparison.skipped.items():
        places = _named(comparison, [site.pair.a for site in sites], whole)
        count = "1 site" if len(sites) == 1 else f"{len(sites):,} sites"
        yield from entry("left out", [f"{count} ({why}): {', '.join(places)}"], width)


def _named(comparison: Comparison, sites: Sequence[Named], whole: bool) -> list[str]:
    places = folded(sites, comparison.alignment.layers)
    if whole or len(places) <= _SOME:
        return places
    return [*places[: _SOME - 1], f"and {len(places) - _SOME + 1:,} more places: --all names them"]

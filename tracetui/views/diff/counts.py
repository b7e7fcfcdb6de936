"""Two traces in one line: what differs besides the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.diff.alignment.align import Alignment
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.diff.result import Comparison
from tracetui.text import visible

_NAMED = 2


def brief(comparison: Comparison) -> str:
    """`tokens differ from token 5 on · config: rope_theta · 3 sites only in B`; empty where there is nothing to say."""
    return " · ".join(_parts(comparison))


def _parts(comparison: Comparison) -> Iterator[str]:
    before, alignment = comparison.preface, comparison.alignment
    if before.model_types:
        yield visible(f"A is a {before.model_types[0]}, B a {before.model_types[1]}", 60)
    if before.tokens:
        yield f"tokens differ from token {before.tokens[0].position} on"
    if before.config:
        names = ", ".join(visible(field.name, 40) for field in before.config[:_NAMED])
        more = f" and {len(before.config) - _NAMED} more" if len(before.config) > _NAMED else ""
        yield f"config: {names}{more}"
    if before.layers:
        yield f"layers {before.layers[0]} in A, {before.layers[1]} in B"
    if before.dtypes:
        yield f"{visible(before.dtypes[0][0], 20)} in A, {visible(before.dtypes[0][1], 20)} in B"
    if comparison.misfits:
        yield f"{len(comparison.misfits):,} shapes don't fit"
    yield from _lone(alignment)


def _lone(alignment: Alignment) -> Iterator[str]:
    for letter, alone in (("A", alignment.only_a), ("B", alignment.only_b)):
        if alone:
            yield f"{_sites(alone)} only in {letter}"
    for letter, ahead in (("A", alignment.ahead_b), ("B", alignment.ahead_a)):
        if ahead:
            yield f"{_sites(ahead)} not run yet in {letter}"


def _sites(found: Sequence[Named]) -> str:
    return f"{len(found):,} site{'s' if len(found) != 1 else ''}"

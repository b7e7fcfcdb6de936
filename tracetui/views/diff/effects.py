"""What a difference does in the end, as lines: the next tokens on both sides, and the residual after each layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.cells import cell_len

from tracetui.analysis.diff.edited import KnownEdit
from tracetui.analysis.diff.effects import Candidate, NextTokens, edits_of_sides, residual_effects
from tracetui.analysis.diff.result import Comparison, Outcome
from tracetui.text import visible
from tracetui.views.cells import bar, fit
from tracetui.views.diff.format import entry, number, percent, wrapped
from tracetui.views.diff.token_places import config_of, position_at
from tracetui.views.tokens import named_token, token_label

_BAR = 20
_BESIDE_BAR = 48
"""Cells of the layer, the mark, both numbers and the worst row."""
_MOST_DECIMALS = 5
_NUMBERS = 28
"""Cells of both probabilities and their difference."""


def by_edit(edit: KnownEdit | None) -> str:
    """`an edit of A changed it`; empty where none did."""
    if edit is None:
        return ""
    what = f"{visible(edit.site)} on the way here" if edit.site else "it"
    return f"an edit of {edit.sides[0]} changed {what}" if len(edit.sides) == 1 else f"edits of A and B changed {what}"


def edit_lines(comparison: Comparison, width: int) -> list[str]:
    """Which edits either side had, where they aren't the same."""
    of_a, of_b = edits_of_sides(comparison.a, comparison.b)
    if of_a == of_b:
        return []
    items = [f"{text} in {side}" for side, own, other in (("A", of_a, of_b), ("B", of_b, of_a)) for text in own
             if text not in other]  # fmt: skip
    return entry("edits", [visible(item, 300) for item in items], width)


def next_token_lines(rows: Sequence[NextTokens], width: int) -> Iterator[str]:
    """A table for each row, with what became of the most probable tokens."""
    for found in rows:
        row = f"row {found.row}, " if len(rows) > 1 else ""
        where = named_token(found.position, found.after)
        yield ""
        decimals = _decimals(found.candidates)
        yield from wrapped(f"Next tokens after {row}{where}: {_moved(found, decimals)}", width, "", "  ")
        if _is_still(found, decimals):
            continue
        yield f"{'':{max(0, width - _NUMBERS)}}{'A':>9}{'B':>9}{'A-B':>10}"
        yield from (_candidate(each, width - _NUMBERS, decimals) for each in found.candidates)


def _is_still(found: NextTokens, decimals: int) -> bool:
    """Whether no number of the table would differ from the one beside it."""
    return all(_share(abs(each.a - each.b), decimals) == _share(0.0, decimals) for each in found.candidates)


def _moved(found: NextTokens, decimals: int) -> str:
    if math.isnan(found.moved):
        return "NaN of probability moved"
    if _is_still(found, decimals):
        return f"the same{' but for rounding' if found.moved else ''}"
    return f"{percent(found.moved)} of probability moved"


def _decimals(candidates: Sequence[Candidate]) -> int:
    """So many that the largest share has three digits: of a large vocabulary each is small."""
    shares = (share for each in candidates for share in (each.a, each.b) if share > 0)
    largest = max(shares, default=1.0)
    return min(_MOST_DECIMALS, max(2, -math.floor(math.log10(largest))))


def _candidate(found: Candidate, width: int, decimals: int) -> str:
    text = token_label(found.token, 40)
    left = fit(f"{found.token.id:>7} {text}", width)
    left += " " * (width - cell_len(left))
    moved = found.a - found.b
    told = "NaN" if math.isnan(moved) else f"{moved:+.{decimals}%}"
    return f"{left}{_share(found.a, decimals):>9}{_share(found.b, decimals):>9}{told:>10}"


def _share(probability: float, decimals: int) -> str:
    return "NaN" if math.isnan(probability) else f"{probability:.{decimals}%}"


def residual_lines(comparison: Comparison, width: int) -> Iterator[str]:
    """How far apart the residual stream is after each layer, of runs that had different edits."""
    of_a, of_b = edits_of_sides(comparison.a, comparison.b)
    found = list(residual_effects(comparison.sites))
    if of_a == of_b or not found or comparison.same:
        return
    config = config_of(comparison)
    largest = max((_size(site.distance.furthest) for _, site in found if site.distance is not None), default=0.0)
    room = max(1, min(_BAR, width - _BESIDE_BAR))
    yield ""
    title = "Residual stream after each layer, |a-b|/|b|: of the worst token, and over all"
    yield from wrapped(f"{title}; bars linear, 0 to {number(largest)}", width, "", "  ")
    for layer, site in found:
        assert site.distance is not None
        distance = site.distance
        filled = bar(_size(distance.furthest) / largest if largest else 0.0, room)
        mark = "off " if site.outcome is Outcome.DIFFERENT else "same"
        pass_ = f" @{site.pair.record.pass_}" if site.pair.record.pass_ else ""
        at = None if distance.row is None else position_at(comparison, site, config, distance.row.index)
        worst = "" if at is None else f"token {at}"
        numbers = f"{number(distance.furthest):>9} {worst:<9} {number(distance.relative):>9}{pass_}"
        line = f"{layer:>7}  {mark}  {filled}{' ' * (room - cell_len(filled))} {numbers}"
        yield fit(line, width).rstrip()


def _size(relative: float) -> float:
    return relative if math.isfinite(relative) else 1.0

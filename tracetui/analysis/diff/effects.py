"""What a difference does in the end: to the next tokens, and to the residual stream after each layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from tracetui.analysis.diff.result import SiteDiff
from tracetui.analysis.prediction import probabilities
from tracetui.recording.record import Token, is_layer
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, NotKeptError

MOST_ROWS = 8
_TOP = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A next token with its probability on both sides."""

    token: Token
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class NextTokens:
    """What both sides predict after the last position up to which a row has the same tokens."""

    row: int
    position: int
    after: Token
    """The token at the position."""
    candidates: tuple[Candidate, ...]
    """The most probable ones of either side, the most probable one of B first."""
    moved: float
    """How much probability went elsewhere: half the sum of |a-b| over all tokens."""


def next_tokens_of(a: Trace, b: Trace, top: int = _TOP) -> tuple[NextTokens, ...]:
    """The table of each row, of the first rows where there are many; empty where one side has no logits to read."""
    rows = range(min(len(a.tokens), len(b.tokens), MOST_ROWS))
    return tuple(found for row in rows if (found := _next_tokens(a, b, row, top)) is not None)


def _next_tokens(a: Trace, b: Trace, row: int, top: int) -> NextTokens | None:
    pairs = zip(a.tokens[row], b.tokens[row], strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0].id == pair[1].id, pairs))
    # The last token of a row that was generated went through no pass.
    for position in range(common - 1, max(-1, common - 3), -1):
        found_a, found_b = _read(a, row, position), _read(b, row, position)
        if found_a is not None and found_b is not None and found_a.shape == found_b.shape:
            return _table(a, b, row, position, found_a, found_b, top)
    return None


def _read(trace: Trace, row: int, position: int) -> Array | None:
    try:
        return probabilities(trace, row, position)
    except (IndexError, NotKeptError):
        return None


def _table(a: Trace, b: Trace, row: int, position: int, of_a: Array, of_b: Array, top: int) -> NextTokens:
    best: list[int] = [int(place) for each in (of_b, of_a) for place in np.argsort(-each, kind="stable")[:top]]
    ids = sorted(dict.fromkeys(best), key=lambda place: (-of_b[place], -of_a[place]))
    candidates = tuple(
        Candidate(a.token(place) if a.token(place).bytes else b.token(place), float(of_a[place]), float(of_b[place]))
        for place in ids
    )
    moved = float(np.abs(of_a - of_b).sum()) / 2
    return NextTokens(row, position, a.tokens[row][position], candidates, moved)


def residual_effects(sites: Sequence[SiteDiff]) -> Iterator[tuple[int, SiteDiff]]:
    """The site of each layer's own output with the layer's index, in order of execution."""
    for site in sites:
        record = site.pair.record
        if site.distance is not None and record.layer is not None and is_layer(record.site) and not record.part:
            yield record.layer, site


def edits_of_sides(a: Trace, b: Trace) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The edits that each run kept, as texts."""
    found = [trace.run.recipe.get("edits", ()) for trace in (a, b)]
    of_a, of_b = (tuple(map(str, edits)) if isinstance(edits, list | tuple) else () for edits in found)
    return of_a, of_b

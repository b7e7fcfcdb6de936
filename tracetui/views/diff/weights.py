"""In words: which weights two runs don't have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from tracetui.analysis.diff.weights import WeightDifferences, WeightPair
from tracetui.text import visible
from tracetui.views.diff.format import number

_NAMED = 4


def weight_lines(weights: WeightDifferences) -> list[str]:
    """What is said of them before the numbers; nothing where all that both traces remember are the same."""
    return list(_lines(weights)) if weights.pairs else []


def weights_text(pairs: Sequence[WeightPair]) -> str:
    """`weight differs (0.09 of B's)`, of one module's own."""
    names = [visible(pair.name.rpartition(".")[2].partition("[")[0], 40) for pair in pairs[:_NAMED]]
    return f"{' and '.join(names)} {'differs' if len(pairs) == 1 else 'differ'} ({_range(pairs)})"


def _lines(weights: WeightDifferences) -> Iterator[str]:
    pairs = weights.pairs
    counted = f"{len(pairs):,} of the {weights.compared:,} that both traces remember differ, by {_range(pairs)}"
    furthest = sorted(pairs, key=lambda pair: -pair.relative)[:_NAMED]
    names = ", ".join(f"{visible(pair.name, 80)} {_short(pair)}" for pair in furthest)
    more = f" and {len(pairs) - _NAMED:,} more" if len(pairs) > _NAMED else ""
    yield f"{counted}: {names}{more}"
    for side, other in (("a", "B"), ("b", "A")):
        random = sum(getattr(pair, side).provenance == "random" for pair in pairs)
        if random and not all(getattr(pair, "b" if side == "a" else "a").provenance == "random" for pair in pairs):
            yield f"{side.upper()}'s are random in {random:,} of them, and {other}'s are not"
    if whose := {"A": "A's are", "B": "B's are", "both": "both sides' are"}.get(weights.quantised):
        yield (
            f"{whose} dequantised: a quantised checkpoint beside another is no search for a fault; "
            "`tracetui quantised` tells what it costs and where"
        )


def _range(pairs: Sequence[WeightPair]) -> str:
    """`0.085 to 0.11 of B's`, or what else there is to say of how far they are apart."""
    sizes = sorted(pair.relative for pair in pairs if isfinite(pair.relative) and pair.relative)
    if not sizes:
        return "their shape" if any(not isfinite(pair.relative) for pair in pairs) else "a few elements"
    low, high = number(sizes[0]), number(sizes[-1])
    return f"about {low} of B's" if low == high else f"about {low} to {high} of B's"


def _short(pair: WeightPair) -> str:
    if not isfinite(pair.relative):
        return f"{list(pair.a.shape)} in A, {list(pair.b.shape)} in B"
    return number(pair.relative) if pair.relative else "(a few elements)"

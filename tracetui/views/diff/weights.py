"""In words: which weights two runs don't have in common."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from math import isfinite

from tracetui.analysis.diff.weights import WeightDifferences, WeightPair
from tracetui.recipe.find import recorded_name
from tracetui.recording.trace import Trace
from tracetui.text import visible
from tracetui.views.diff.format import number

_NAMED = 4
_ANOTHER = 0.5
"""From how far on a weight may be the other side's in another order."""


def weight_lines(weights: WeightDifferences, models: tuple[str, str] = ("", "")) -> list[str]:
    """What is said of them before the numbers; nothing where all that both traces remember are the same.

    models: what is typed to name A's and B's, as far as it is known.
    """
    return list(_lines(weights, models)) if weights.pairs else []


def model_names(a: Trace, b: Trace) -> tuple[str, str]:
    """What is typed to name their models; empty where that isn't known."""
    return recorded_name(a.run), recorded_name(b.run)


def weights_text(pairs: Sequence[WeightPair]) -> str:
    """`weight differs (0.09 of B's)`, of one module's own."""
    names = [visible(pair.name.rpartition(".")[2].partition("[")[0], 40) for pair in pairs[:_NAMED]]
    return f"{' and '.join(names)} {'differs' if len(pairs) == 1 else 'differ'} ({_range(pairs)})"


def _lines(weights: WeightDifferences, models: tuple[str, str]) -> Iterator[str]:
    pairs = weights.pairs
    counted = f"{len(pairs):,} of the {weights.compared:,} that both traces remember differ, by {_range(pairs)}"
    furthest = sorted(pairs, key=lambda pair: -pair.relative)[:_NAMED]
    names = ", ".join(f"{_name(pair)} {_short(pair)}" for pair in furthest)
    more = f" and {len(pairs) - _NAMED:,} more" if len(pairs) > _NAMED else ""
    yield f"{counted}: {names}{more}"
    for side, other in (("a", "B"), ("b", "A")):
        random = sum(getattr(pair, side).provenance == "random" for pair in pairs)
        if random and not all(getattr(pair, "b" if side == "a" else "a").provenance == "random" for pair in pairs):
            yield f"{side.upper()}'s are random in {random:,} of them, and {other}'s are not"
    if whose := {"A": "A's are", "B": "B's are", "both": "both sides' are"}.get(weights.quantised):
        yield (
            f"{whose} dequantised: a quantised model beside its original is no search for a fault; "
            f"`{_command(weights, models)}` tells what quantising costs, and where"
        )


def _command(weights: WeightDifferences, models: tuple[str, str]) -> str:
    original, quantised = models if weights.original == "A" else models[::-1]
    names = (shlex.quote(original) if original else "ORIGINAL", shlex.quote(quantised) if quantised else "QUANTISED")
    return f"tracetui quantised {' '.join(visible(name, 200) for name in names)} -p 'some text'"


def _range(pairs: Sequence[WeightPair]) -> str:
    """`0.085 to 0.11 of B's`, or what else there is to say of how far they are apart."""
    sizes = sorted(pair.relative for pair in pairs if isfinite(pair.relative) and pair.relative)
    if not sizes:
        return "their shape" if any(not isfinite(pair.relative) for pair in pairs) else "a few elements"
    low, high = number(sizes[0]), number(sizes[-1])
    return f"about {low} of B's" if low == high else f"about {low} to {high} of B's"


def _name(pair: WeightPair) -> str:
    return f"{visible(pair.name, 80)}{f' ({visible(pair.name_b, 80)} in B)' if pair.name_b else ''}"


def _short(pair: WeightPair) -> str:
    if not isfinite(pair.relative):
        return f"{list(pair.a.shape)} in A, {list(pair.b.shape)} in B"
    if pair.is_sampled and pair.relative >= _ANOTHER:
        return f"{number(pair.relative)}, another weight or another layout"
    return number(pair.relative) if pair.relative else "(a few elements)"

"""Tensors of a mixture of experts, made comparable: choices in one order, an expert's rows token by token."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from tracetui.analysis.diff.alignment.align import Pair
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.experts.routing import sibling
from tracetui.analysis.mapping.layouts import SAME
from tracetui.analysis.mapping.names import meaning
from tracetui.recording.record import Record, plain_site
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array, is_kept

_EXPERT = re.compile(r"\.experts\.\d+(?::(?:in|tokens))?$")
_INSIDE_EXPERTS = re.compile(r"\.experts\.[a-z_]\w*(?::input)?$")
"""A module that experts share, called for one after another with the tokens that chose it."""
_MOST_ROWS = 1 << 10
_CHOICES = (":experts", ".gate#2", ".router#2")
_MOST_TOKENS = 1 << 24
"""Of one run: a higher number is none of a token's."""
_WEIGHTS = (":routing_weights", ".gate#1", ".router#1")


def is_expert(site: str) -> bool:
    """Whether a site is one expert's own, with rows of the tokens that chose it: [n, …]."""
    return _EXPERT.search(plain_site(site)) is not None


def chooses(site: str) -> bool:
    """Whether a site holds the experts that tokens chose."""
    return site.partition("@")[0].endswith(_CHOICES)


def routed(a: Trace, b: Trace, pair: Pair) -> tuple[Array, Array] | None:
    """Both sides' values so that they stand against their like; None where nothing has to be done."""
    site = pair.site.partition("@")[0]
    if not _is_of_experts(site) and pair.record.role != "selection_scores":
        return None
    if is_expert(site):
        return _rows(a, b, pair)
    if _INSIDE_EXPERTS.search(plain_site(site)) and pair.record.call:
        return _in_b_s_order(_read(a, pair.a.record), _read(b, pair.b.record))
    if chooses(site):
        sides = [_numbers(trace, named.record, 2) for trace, named in ((a, pair.a), (b, pair.b))]
        return None if sides[0] is None or sides[1] is None else _choices(sides[0], sides[1])
    if pair.record.role == "selection_scores":
        return _unmasked(_read(a, pair.a.record), _read(b, pair.b.record))
    return _weights(a, b, pair, site)


@lru_cache(maxsize=1 << 12)
def _is_of_experts(site: str) -> bool:
    """Whether a site, of any pass, is an expert's own or the choice or the weights of experts."""
    inside = _INSIDE_EXPERTS.search(plain_site(site)) is not None
    return inside or is_expert(site) or chooses(site) or site.endswith(_WEIGHTS)


def _in_b_s_order(a: Array | None, b: Array | None) -> tuple[Array, Array] | None:
    """Rows [n,D] of tokens that chose one expert, whose numbers nobody recorded, A's in the order of those of B.

    A router may have a token's best expert first on one side and second on the other, and that orders the rows.
    """
    if a is None or b is None or a.shape != b.shape or a.ndim != 2 or not 1 < len(a) <= _MOST_ROWS:
        return None
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        return None
    nearest = np.array([int(np.abs(a.astype(np.float64) - row).sum(axis=1).argmin()) for row in b])
    return (a[nearest], b) if len(set(nearest.tolist())) == len(a) else None


def _unmasked(a: Array | None, b: Array | None) -> tuple[Array, Array] | None:
    """Both sides' selection scores, with 0 for experts that either masks; None if none is masked."""
    if a is None or b is None or a.shape != b.shape or "f" not in (a.dtype.kind, b.dtype.kind):
        return None
    masked = np.isneginf(a) | np.isneginf(b)
    return (np.where(masked, 0, a), np.where(masked, 0, b)) if masked.any() else None


def _choices(a: Array, b: Array) -> tuple[Array, Array]:
    """Choices [N,A] in one order; where A is not the same on both sides, which experts are among them: [N,E]."""
    # Which of the chosen stands first means nothing: implementations sort them or don't.
    alike = a.shape == b.shape or len(a) != len(b) or not a.size or not b.size
    count = 1 + int(max(a.max(initial=0), b.max(initial=0)))
    if alike or min(a.min(initial=0), b.min(initial=0)) < 0 or len(a) * count > _MOST_TOKENS:
        return np.sort(a, axis=-1), np.sort(b, axis=-1)
    return _among(a, count), _among(b, count)


def _among(experts: Array, count: int) -> Array:
    found = np.zeros((len(experts), count), np.bool_)
    np.put_along_axis(found, experts, True, axis=-1)
    return found


def _weights(a: Trace, b: Trace, pair: Pair, site: str) -> tuple[Array, Array] | None:
    weights = next((end for end in _WEIGHTS if site.endswith(end)), "")
    if not weights:
        return None
    block = site.removesuffix(weights)
    sides = [_by_expert(trace, named, block) for trace, named in ((a, pair.a), (b, pair.b))]
    return None if sides[0] is None or sides[1] is None else (sides[0], sides[1])


def _by_expert(trace: Trace, named: Named, block: str) -> Array | None:
    """Weights [N,A] in the order of their experts' numbers."""
    record = _choice(trace, named.record, block)
    weights = _read(trace, named.record)
    experts = None if record is None else _numbers(trace, record, 2)
    if weights is None or experts is None or weights.shape != experts.shape:
        return None
    return np.take_along_axis(weights, experts.argsort(axis=-1, kind="stable"), axis=-1)


def _choice(trace: Trace, weights: Record, block: str) -> Record | None:
    """The choice that belongs to weights: another part of the same output, or whatever its writer calls it."""
    own = plain_site(weights.site)
    beside = own.partition(":")[0] + ":experts" if ":" in own else f"{own}#2"
    if (record := _beside(trace, weights, beside)) is not None:
        return record
    names = {block + end for end in _CHOICES}
    whole = (each for each in trace.records if each.dtype.startswith(("int", "uint")) and len(each.shape) == 2)
    alike = (each for each in whole if (each.pass_, each.call) == (weights.pass_, weights.call))
    return next((each for each in alike if meaning(each.site).site in names), None)


def token_of_row(a: Trace, b: Trace, pair: Pair, row: int) -> int | None:
    """Which of the flat tokens a compared row of an expert's is of; None where nobody recorded who chose it."""
    if not is_expert(pair.site) or not (pair.a.layout is SAME and pair.b.layout is SAME):
        return None
    tokens = _both_tokens(a, b, pair)
    if tokens is None:
        return None
    common = np.arange(row + 1) if pair.record.role == "tokens" else np.intersect1d(*tokens)
    return int(common[row]) if 0 <= row < len(common) else None


def _both_tokens(a: Trace, b: Trace, pair: Pair) -> tuple[Array, Array] | None:
    """The tokens that chose a pair's expert on each side: [n] each."""
    records = [
        _beside(trace, named.record, f"{named.record.module}:tokens") for trace, named in ((a, pair.a), (b, pair.b))
    ]
    if records[0] is None or records[1] is None:
        return None
    tokens_a, tokens_b = _tokens(a, records[0]), _tokens(b, records[1])
    return None if tokens_a is None or tokens_b is None else (tokens_a, tokens_b)


def _rows(a: Trace, b: Trace, pair: Pair) -> tuple[Array, Array] | None:
    """An expert's rows of the tokens that chose it on both sides; of `:tokens` itself, who chose it: [N]."""
    tokens = _both_tokens(a, b, pair)
    if tokens is None:
        return None
    tokens_a, tokens_b = tokens
    if pair.record.role == "tokens":
        count = max(int(side.max(initial=0)) + 1 for side in tokens)
        return _chosen_by(tokens_a, count), _chosen_by(tokens_b, count)
    values_a, values_b = _read(a, pair.a.record), _read(b, pair.b.record)
    if values_a is None or values_b is None:
        return None
    if (values_a.shape[:1], values_b.shape[:1]) != (tokens_a.shape, tokens_b.shape):
        return None
    _, place_a, place_b = np.intersect1d(tokens_a, tokens_b, return_indices=True)
    return values_a[place_a], values_b[place_b]


def _tokens(trace: Trace, record: Record) -> Array | None:
    """The numbers of tokens [n] as an expert's own; None for what can't be those."""
    tokens = _numbers(trace, record, 1)
    if tokens is None or (tokens.size and not 0 <= tokens.min() <= tokens.max() < _MOST_TOKENS):
        return None
    return tokens


def _chosen_by(tokens: Array, count: int) -> Array:
    """Which of `count` tokens are among them: [N]."""
    chosen = np.zeros(count, np.bool_)
    chosen[tokens] = True
    return chosen


def _numbers(trace: Trace, record: Record, rank: int) -> Array | None:
    """Whole numbers of a rank; None for anything else, which somebody's own file may call the same."""
    found = _read(trace, record) if len(record.shape) == rank else None
    return found if found is not None and found.dtype.kind in "iu" else None


def _beside(trace: Trace, record: Record, site: str) -> Record | None:
    return record if record.site == site else sibling(trace, record, site)


def _read(trace: Trace, record: Record) -> Array | None:
    value = trace.value(record)
    return value.read() if is_kept(value) else None

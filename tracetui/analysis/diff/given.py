"""What each side gave a module, where that isn't one tensor: then nothing is said of what the module made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tracetui.analysis.diff.alignment.align import Pair
from tracetui.analysis.diff.alignment.likeness import numbers
from tracetui.analysis.diff.result import Comparison, SiteDiff
from tracetui.analysis.mapping.layouts import SAME, layouts
from tracetui.recording.record import Record, layer_path
from tracetui.recording.trace import Trace

_APART = 0.05
"""From what |a - b|/|b| on two tensors are two, and not one with a difference that was carried on."""


@dataclass(frozen=True, slots=True)
class Given:
    """What went into a module on both sides."""

    a: str
    b: str
    sure: bool
    """Whether both runs told; else A's dump has this just before it, and B doesn't."""


def given_otherwise(comparison: Comparison, site: SiteDiff, fed: tuple[SiteDiff, ...]) -> Given | None:
    """What both sides gave a module as its first tensor, if that is another one, though the inputs that B had agree.

    Of a module without others in it. fed: these inputs, as they were compared.
    """
    one, other = site.pair.a.record, site.pair.b.record
    given = _given(comparison.b, other)
    if one.role or other.role or given is None or _has_others(comparison.b, other):
        return None
    if (own := _given(comparison.a, one)) is not None:
        # What entered it and nothing else is, its caller made just before, or a hook of its own.
        apart = own.module != one.module and _has_another(comparison, own, given) and _are_two(comparison, own, given)
        return Given(own.key, given.key, sure=True) if apart else None
    known = comparison.a.dump and bool(_pairs_of(comparison, given))
    norm = next(_norms_before(comparison, site, fed), None) if known else None
    return None if norm is None else Given(norm.key, given.key, sure=False)


def _given(trace: Trace, record: Record) -> Record | None:
    """The first tensor that a module was given, where a record holds it."""
    first = record.inputs[0] if record.inputs else -1
    return trace.records[first] if 0 <= first < record.index else None


def _has_others(trace: Trace, record: Record) -> bool:
    inside = f"{record.site}."
    return any(each.site.startswith(inside) for each in trace.records[: record.index])


def _has_another(comparison: Comparison, own: Record, given: Record) -> bool:
    """Whether A has what B gave under another record than the one that it gave itself."""
    pairs, value = _pairs_of(comparison, given), comparison.a.value(own)
    return bool(pairs) and not any(comparison.a.value(pair.a.record) is value for pair in pairs)


def _pairs_of(comparison: Comparison, given: Record) -> list[Pair]:
    """The pairs that hold the very tensor of a record of B's."""
    value = comparison.b.value(given)
    return [pair for pair in comparison.alignment.pairs if comparison.b.value(pair.b.record) is value]


def _are_two(comparison: Comparison, a: Record, b: Record) -> bool:
    """Whether two records of one size hold other numbers, however they are laid out."""
    one, other = numbers(comparison.a, a, SAME), numbers(comparison.b, b, SAME)
    if one is None or other is None:
        return False
    size = float(np.linalg.norm(other.astype(np.float64)))
    apart = [
        float(np.linalg.norm(one - way.apply(other).astype(np.float64))) for way in layouts(one.shape, other.shape)
    ]
    return bool(apart) and min(apart) > _APART * size


def _norms_before(comparison: Comparison, site: SiteDiff, fed: tuple[SiteDiff, ...]) -> Iterator[Record]:
    """Norms of the layer that A's dump has between a module and its inputs, the last first, and B has later, or not."""
    here, there = site.pair.a.record, site.pair.b.record
    after = max((each.pair.a.record.index for each in fed), default=here.index)
    later = {pair.a.record.index for pair in comparison.alignment.pairs if pair.b.record.index > there.index}
    lone = {named.record.index for named in comparison.alignment.only_a}
    records = (comparison.a.records[index] for index in range(here.index - 1, after, -1))
    for record in records:
        is_norm = "norm" in record.site.rpartition(".")[2] and record.shape == here.shape[:-1] + record.shape[-1:]
        same_layer = layer_path(record.site) == layer_path(here.site) != ""
        # A norm's second tensor is the stream that it adds up and hands on.
        beside = record.part or "#" in record.site
        if is_norm and not beside and same_layer and record.index in later | lone and not _is_of_heads(record):
            yield record


def _is_of_heads(record: Record) -> bool:
    """Whether it is a norm of queries or keys."""
    return record.site.rpartition(".")[2].startswith(("q", "k"))

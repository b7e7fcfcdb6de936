"""Proposed names for what one side alone has, and an alignment that takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracetui.analysis.diff.alignment.align import Alignment, Pair, in_order
from tracetui.analysis.diff.alignment.named import Named
from tracetui.analysis.mapping.fuzzy import MOST, Proposal, Unknown, proposals
from tracetui.recording.statistics import Statistics
from tracetui.recording.trace import Trace


def proposed(alignment: Alignment, a: Trace, b: Trace) -> tuple[Proposal, ...]:
    """Pairs of what is left over on both sides, if either side has names that no table knows."""
    if all(named.naming == "hf" for named in (*alignment.only_a, *alignment.only_b)):
        # Both speak the same language: what only one has is missing on the other, under whatever name.
        return ()
    return proposals(_unknown(alignment.only_a, a), _unknown(alignment.only_b, b))


def _unknown(found: Sequence[Named], trace: Trace) -> list[Unknown]:
    ordered = sorted(found, key=lambda named: named.record.index)[:MOST]
    return [
        Unknown(named.site, named.record.shape, named.record.dtype, _size(trace.statistics(named.record)))
        for named in ordered
    ]


def _size(statistics: Statistics) -> tuple[float, ...]:
    return (statistics.l2, statistics.mean, statistics.min, statistics.max)


def with_proposals(alignment: Alignment, found: Sequence[Proposal], a: Trace, b: Trace) -> Alignment:
    """The alignment with every proposal taken."""
    only_a = {named.site: named for named in alignment.only_a}
    only_b = {named.site: named for named in alignment.only_b}
    pairs = [Pair(only_a.pop(proposal.a), only_b.pop(proposal.b)) for proposal in found]
    ordered = in_order([*alignment.pairs, *pairs], a, b)
    return replace(alignment, pairs=ordered, only_a=tuple(only_a.values()), only_b=tuple(only_b.values()))

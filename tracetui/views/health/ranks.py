"""Which rank had the elements that aren't finite, in its own columns and in those of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracetui.analysis.axes import axes_of
from tracetui.analysis.health.diagnosis import BadElements
from tracetui.recording.parallel import RankPiece, Shard
from tracetui.recording.record import Record
from tracetui.recording.trace import Trace
from tracetui.views.place import noun
from tracetui.views.run.ranks import unlike_words

_LISTED = 8


def rank_lines(trace: Trace, record: Record, bad: BadElements | None) -> Iterator[str]:
    """`rank 1 of 4 has it: in channel 3 of its 16, 19 of the whole`; nothing of a run of one process."""
    parallel = trace.run.parallel
    if parallel is None:
        return
    pieces: Sequence[RankPiece] = trace.pieces.get(record.key, ())
    if parallel.rank is not None and record.place.shards:
        pieces = [RankPiece(parallel.rank, record.place)]
    for piece in pieces:
        texts = [] if bad is None else [_where(trace, record, shard, bad) for shard in piece.place.shards]
        if texts and all(texts):
            yield f"rank {piece.rank} of {parallel.world} has it: in {', '.join(texts)}"
    yield from (f"rank {rank} of {parallel.world} has it in its addend" for rank in _addends(trace, record, pieces))
    if record.key in trace.unlike_replicas:
        yield f"replicas differ here: {unlike_words(trace.unlike_replicas[record.key])}"


def _where(trace: Trace, record: Record, shard: Shard, bad: BadElements) -> str:
    """The places along a cut dimension that a piece has; empty if it has none of them."""
    axis = axes_of(record, trace.run.config)[shard.dimension]
    is_last = shard.dimension == len(record.shape) - 1
    name = noun(axis.name, "channel" if is_last else axis.name)
    if axis.shard is None:
        places = [
            (here, whole)
            for whole in bad.per_axis[shard.dimension].tolist()
            if (here := shard.index_here(whole)) is not None
        ]
    else:
        places = [(here, shard.whole_index(here)) for here in bad.per_axis[shard.dimension].tolist()]
    if not places:
        return ""
    if len(places) > _LISTED:
        return f"{len(places):,} {name}s of its {shard.length:,}"
    inside, around = (", ".join(map(str, each)) for each in zip(*places, strict=True))
    return f"{name}{'s' if len(places) > 1 else ''} {inside} of its {shard.length:,} ({around} of {shard.size:,})"


def _addends(trace: Trace, record: Record, pieces: Sequence[RankPiece]) -> Iterator[int]:
    """Ranks whose own part of a sum isn't finite, where their traces are at hand."""
    for piece in pieces:
        own = trace.by_rank.get(piece.rank) if piece.place.partial else None
        part = None if own is None else own.find(record.key)
        if own is not None and part is not None and not own.statistics(part).finite:
            yield piece.rank

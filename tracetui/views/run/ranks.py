"""What merging the traces of many ranks came to, in plain lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tracetui.recording.parallel import UnlikeReplicas
from tracetui.recording.trace import Trace
from tracetui.text import number, size, spans, visible

if TYPE_CHECKING:
    from tracetui.recording.ranks.merge import Merged, Mismatch

_MISFITS, _UNLIKE = 50, 10


def merge_lines(merged: Merged, output: str, byte_count: int) -> Iterator[str]:
    """The file, what it was made of, and the first replicas that differ."""
    trace = merged.trace
    yield f"{visible(output)}: {size(byte_count)}, {counts(trace)}"
    yield from (f"note: {visible(note, 1000)}" for note in trace.run.notes)
    yield from replica_lines(trace)


def counts(trace: Trace) -> str:
    """`45 records of 4 ranks: 25 whole, 20 put together`."""
    parallel, together = trace.run.parallel, len(trace.pieces)
    world = "" if parallel is None else f" of {parallel.world} ranks"
    return f"{len(trace.records):,} records{world}: {len(trace.records) - together:,} whole, {together:,} put together"


def replica_lines(trace: Trace) -> Iterator[str]:
    """Where ranks that should have the same have not: the first is where it began."""
    unlike = {
        record.key: trace.unlike_replicas[record.key] for record in trace.records if record.key in trace.unlike_replicas
    }
    for place, (key, each) in enumerate(unlike.items()):
        if place == _UNLIKE:
            yield f"  and at {len(unlike) - _UNLIKE:,} more"
            return
        start = "replicas differ at" if not place else "  and at"
        yield f"{start} {visible(key)}: {unlike_words(each)}"


def unlike_words(unlike: UnlikeReplicas) -> str:
    """`ranks 0 to 2 agree, rank 3 is up to 1.19e-07 off, in 1 element`."""
    first, *others = unlike.groups
    other = ", ".join(ranks_text(ranks) for ranks in others)
    is_one = len(others) == 1 and len(others[0]) == 1
    far = "" if unlike.max_abs is None else f" up to {number(unlike.max_abs)} off"
    count = "" if unlike.count is None else f", in {unlike.count:,} element{'' if unlike.count == 1 else 's'}"
    verb = ("is" if is_one else "are") if far else ("differs" if is_one else "differ")
    agree = f"{ranks_text(first)} agree" if len(first) > 1 else f"against {ranks_text(first)}"
    return f"{agree}, {other} {verb}{far}{count}"


def odd_ranks(unlike: UnlikeReplicas) -> str:
    """`rank 3 differs`: those that have other values than most."""
    ranks = sorted(rank for group in unlike.groups[1:] for rank in group)
    return f"{ranks_text(ranks)} {'differs' if len(ranks) == 1 else 'differ'}"


def ranks_text(ranks: Sequence[int]) -> str:
    """`rank 3`, `ranks 0 to 2`."""
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {spans(list(ranks))}"


def misfit_lines(misfits: Sequence[Mismatch]) -> Iterator[str]:
    """Everything that doesn't add up, each by name."""
    yield "nothing was written: the parts that the ranks have don't make a whole"
    for misfit in misfits[:_MISFITS]:
        yield f"  {misfit}"
    if len(misfits) > _MISFITS:
        yield f"  and {len(misfits) - _MISFITS:,} more"

"""A folder of ranks' files as one trace, which knows each rank's own; and any other recording as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from tracetui.errors import InputError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.ranks.files import gathered_from, is_rank_folder, rank_paths
from tracetui.recording.ranks.merge import merged_trace
from tracetui.recording.ranks.replicas import TakenReplicas
from tracetui.recording.trace import Trace


def open_run(path: Path) -> Trace:
    """The trace in a file, or the merged one of a folder with the files of a run's ranks; no value is read.

    Raises InputError, for a folder whose parts don't make a whole too.
    """
    return open_ranks(path) if is_rank_folder(path) else open_recorded(path)


def open_ranks(folder: Path) -> Trace:
    """Of replicas one rank's values; which differ is told by their statistics."""
    ranks: dict[int | None, Trace] = {}
    gathered = gathered_from(rank_paths([folder]), keep=ranks.__setitem__)
    merged = merged_trace(gathered, TakenReplicas())
    if merged.misfits:
        count = len(merged.misfits)
        more = f"; {count - 1:,} more: `tracetui merge` lists them" if count > 1 else ""
        raise InputError(f"{folder}: the ranks' files don't make a whole: {merged.misfits[0]}{more}")
    traces: dict[int | None, Trace] = {}
    by_rank = MappingProxyType(traces)
    traces[None] = replace(merged.trace, by_rank=by_rank)
    for rank, trace in sorted(ranks.items(), key=lambda each: each[0] or 0):
        traces[rank] = replace(trace, by_rank=by_rank)
    return traces[None]

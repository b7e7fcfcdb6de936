"""Puts the traces of a run's ranks together."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.errors import InputError

if TYPE_CHECKING:
    from tracetui.recording.ranks.merge import Replicas


def merge(arguments: Namespace) -> int:
    """Write the one trace; returns 1 if replicas differ, and 2, with nothing written, if parts don't add up."""
    from tracetui.commands.output_file import recording_file
    from tracetui.recording.npz import write_trace
    from tracetui.recording.ranks.files import gathered_from, rank_paths
    from tracetui.recording.ranks.merge import merged_trace
    from tracetui.views.run.ranks import merge_lines, misfit_lines

    if arguments.tp is not None and arguments.tp < 1:
        raise InputError(f"--tp: must be a number of ranks, got {arguments.tp}")
    sources = rank_paths(map(Path, arguments.ranks))
    output = recording_file(arguments.output, sources)
    gathered = gathered_from(sources, arguments.tp)
    merged = merged_trace(gathered, _replicas(arguments.replicas))
    if merged.misfits:
        for line in misfit_lines(merged.misfits):
            print(line)
        return 2
    size = write_trace(merged.trace, output, compress=arguments.compress)
    for line in merge_lines(merged, arguments.output, size):
        print(line)
    return 1 if len(merged.trace.unlike_replicas) else 0


def _replicas(how: str) -> Replicas:
    from tracetui.analysis.diff.rounding.tolerance import unit_of
    from tracetui.recording.ranks.replicas import ComparedReplicas, IgnoredReplicas

    if how == "off":
        return IgnoredReplicas()
    return ComparedReplicas(None if how == "bits" else lambda dtype: unit_of(dtype, dtype))

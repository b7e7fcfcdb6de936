"""`tracetui trace` as one rank of several: one model on all of them, and one trace."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.commands.ranked import first_speaks, sizes_of
from tracetui.errors import InputError

if TYPE_CHECKING:
    from tracetui.headless import Stops
    from tracetui.recording.trace import Trace
    from tracetui.tracer.ranks.tracing import TracingRanks


def ranked_trace(arguments: Namespace) -> int:
    """Run a prompt on all ranks; the first one writes the one trace, and it alone speaks. Returns the exit status."""
    return first_speaks(partial(_traced, arguments))


def _traced(arguments: Namespace) -> int:
    from tracetui.commands.output_file import recording_file
    from tracetui.commands.read_options import check_places, read_recipe, read_stops
    from tracetui.headless import Stops, told_run

    sizes = sizes_of(arguments)
    output = None if arguments.output is None else recording_file(arguments.output)
    if arguments.json:
        raise InputError("--json: not of a run on several ranks; `tracetui info F.npz --json` tells what came out")
    stops = Stops(read_stops(arguments))
    recipe = read_recipe(arguments)
    check_places(recipe, stops.stops)
    from tracetui.tracer.ranks.tracing import TracingRanks

    ranks = TracingRanks(sizes)
    trace = told_run(recipe, stops, ranks.trace)
    status = 0
    for line in _put_together(ranks, trace, output, arguments.compress, stops):
        print(line)
    status = int(ranks.ranks.most([int(bool(stops.hits))])[0])
    ranks.last()
    return status


def _put_together(
    ranks: TracingRanks, trace: Trace, output: Path | None, compress: bool, stops: Stops
) -> Iterator[str]:
    """Every rank's part in a folder beside the file, of which the first one makes the file; lines of what came out."""
    from tracetui.headless import result_lines
    from tracetui.recording.npz import write_trace

    if output is None:
        yield from result_lines(trace, None, None, stops)
        return
    folder = output.with_name(f".{output.name}.ranks")
    # A run that was killed may have left parts there, of more ranks than there are now.
    ranks.together(lambda: None if ranks.rank else shutil.rmtree(folder, ignore_errors=True))
    ranks.together(lambda: folder.mkdir(exist_ok=True))
    write_trace(trace, folder / f"rank{ranks.rank:05}.npz")
    ranks.ranks.gather()
    if ranks.rank:
        return
    try:
        merged = _merged(folder)
        size = write_trace(merged, output, compress=compress)
        yield from result_lines(merged, output, size, stops)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _merged(folder: Path) -> Trace:
    from tracetui.recording.ranks.files import gathered_from, rank_paths
    from tracetui.recording.ranks.merge import merged_trace
    from tracetui.recording.ranks.replicas import ComparedReplicas
    from tracetui.views.run.ranks import misfit_lines

    merged = merged_trace(gathered_from(rank_paths([folder])), ComparedReplicas(None))
    if merged.misfits:
        raise InputError("; ".join(misfit_lines(merged.misfits)))
    return merged.trace

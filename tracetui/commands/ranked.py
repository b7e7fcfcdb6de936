"""`tracetui trace` as one rank of several: one model on all of them, and one trace."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.errors import InputError

if TYPE_CHECKING:
    from tracetui.headless import Stops
    from tracetui.models.ranks.spread import Sizes
    from tracetui.recording.trace import Trace
    from tracetui.tracer.ranks.tracing import TracingRanks

_COUNT, _RANK = "WORLD_SIZE", "RANK"
"""By which torchrun says how many processes there are, and which this is."""
_WAITING_SECONDS = 5.0
"""That another rank leaves the first one to say what is wrong."""


def is_ranked(arguments: Namespace) -> bool:
    """Whether this is one of several processes, or is meant to be."""
    return _number(_COUNT, 1) > 1 or any(getattr(arguments, name) is not None for name in ("tp", "pp", "ep"))


def ranked_trace(arguments: Namespace) -> int:
    """Run a prompt on all ranks; the first one writes the one trace, and it alone speaks. Returns the exit status."""
    rank = _number(_RANK, 0)
    with open(os.devnull, "w") as silence, contextlib.ExitStack() as stack:  # noqa: PTH123
        if rank:
            stack.enter_context(contextlib.redirect_stdout(silence))
            stack.enter_context(contextlib.redirect_stderr(silence))
        try:
            return _ranked(arguments)
        except InputError as error:
            if not rank:
                raise
            # The first rank says it; torchrun ends all others as soon as one of them has ended.
            time.sleep(_WAITING_SECONDS)
            return error.exit_code


def _ranked(arguments: Namespace) -> int:
    from tracetui.commands.output_file import writable_file
    from tracetui.commands.read_options import check_places, read_recipe, read_stops
    from tracetui.headless import Stops, told_run

    sizes = _sizes(arguments)
    output = None if arguments.output is None else writable_file(arguments.output)
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


def _sizes(arguments: Namespace) -> Sizes:
    """The ranks along each axis. Raises InputError where they are not those that there are."""
    from tracetui.models.ranks.spread import Sizes

    world = _number(_COUNT, 1)
    if world < 2:
        raise InputError(
            "--tp, --pp and --ep: need several processes: torchrun --nproc-per-node N -m tracetui trace MODEL …"
        )
    for name in ("tp", "pp", "ep"):
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise InputError(f"--{name}: must be a number of ranks, got {number}")
    stages = arguments.pp or 1
    sizes = Sizes(arguments.tp or max(1, world // stages), stages, arguments.ep or 1)
    if sizes.ranks != world:
        raise InputError(f"--tp {sizes.tensor} × --pp {stages}: are {sizes.ranks} ranks, and there are {world}")
    if sizes.expert not in (1, sizes.tensor):
        raise InputError(f"--ep: must be 1 or as many as --tp, {sizes.tensor}, got {sizes.expert}")
    return sizes


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else default

"""`tracetui trace` and `run` as one rank of several: what both of them do."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tracetui.errors import InputError
from tracetui.launch import is_another_rank, process_count

if TYPE_CHECKING:
    from tracetui.models.ranks.spread import Sizes

_AXES = ("tp", "pp", "ep")
_WAITING_SECONDS = 5.0
"""That another rank leaves the first one to say what is wrong."""


def is_ranked(arguments: Namespace) -> bool:
    """Whether this is one of several processes, or is meant to be."""
    return process_count() > 1 or any(getattr(arguments, name) is not None for name in _AXES)


def first_speaks(work: Callable[[], int]) -> int:
    """What this rank's work returns; where it is refused, the first rank alone says so. Returns the exit status."""
    with _silent() if is_another_rank() else _quiet_collectives():
        try:
            return work()
        except InputError as error:
            if not is_another_rank():
                raise
            # torchrun ends all others as soon as one of them has ended.
            time.sleep(_WAITING_SECONDS)
            return error.exit_code


@contextmanager
def _quiet_collectives() -> Iterator[None]:
    """What torch's compiled code remarks when another rank ends is said by us; read when torch is imported."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    yield


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing comes out on the terminal, which is the first rank's: not from compiled libraries either."""
    import sys

    from tracetui.logs import open_noise_log

    kept = [(number, os.dup(number)) for number in (1, 2)]
    log = open_noise_log()
    try:
        with _quiet_collectives():
            for number, _ in kept:
                os.dup2(log, number)
            yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for number, terminal in kept:
            os.dup2(terminal, number)
            os.close(terminal)
        os.close(log)


def sizes_of(arguments: Namespace) -> Sizes:
    """The ranks along each axis. Raises InputError where they are not those that there are."""
    from tracetui.models.ranks.spread import Sizes

    world = process_count()
    if world < 2:
        raise InputError(
            "--tp, --pp and --ep: need several processes: "
            f"torchrun --nproc-per-node N -m tracetui {arguments.command} MODEL …"
        )
    for name in _AXES:
        if (number := getattr(arguments, name)) is not None and number < 1:
            raise InputError(f"--{name}: must be a number of ranks, got {number}")
    stages = arguments.pp or 1
    sizes = Sizes(arguments.tp or max(1, world // stages), stages, arguments.ep or 1)
    if sizes.ranks != world:
        raise InputError(f"--tp {sizes.tensor} × --pp {stages}: are {sizes.ranks} ranks, and there are {world}")
    if sizes.expert not in (1, sizes.tensor):
        raise InputError(f"--ep: must be 1 or as many as --tp, {sizes.tensor}, got {sizes.expert}")
    return sizes

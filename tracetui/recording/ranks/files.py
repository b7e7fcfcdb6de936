"""The files that the ranks of one run wrote: found in a folder, opened, and which rank each is of."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tracetui.errors import InputError
from tracetui.recording.dumps import open_recorded
from tracetui.recording.parallel import Parallel
from tracetui.recording.ranks.gather import Gathered, RankTrace
from tracetui.recording.trace import Trace

_RANK = re.compile(r"(\d+)(?!.*\d)")
"""The last number in a file's name: `rank00003.npz` is of rank 3."""
_OTHER_FILES = 256
"""Descriptors that a process needs beside those of ranks' files."""
_ENDINGS = (".npz", ".safetensors")
_OF_MODELS = ("config.json", "model.safetensors.index.json")


def rank_paths(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those in the folders named, in the order of their numbers. Raises InputError."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = [each for each in path.iterdir() if each.suffix in _ENDINGS and not each.name.startswith(".")]
            if not inside:
                raise InputError(f"{path}: holds no files of ranks (rank0.npz, rank1.npz, …)")
            files += sorted(inside, key=lambda each: (_number(each), each.name))
        else:
            files.append(path)
    return files


def _number(path: Path) -> int:
    number = _RANK.search(path.stem)
    return int(number[1]) if number else -1


def is_rank_folder(path: Path) -> bool:
    """Whether a folder holds a file of a rank, and is none of a model whose weights are numbered files."""
    if any((path / name).exists() for name in _OF_MODELS):
        return False
    return path.is_dir() and any(
        each.suffix in _ENDINGS and _number(each) >= 0 and not each.name.startswith(".") for each in path.iterdir()
    )


def gathered_from(
    paths: Sequence[Path], tensor_parallel: int | None = None, keep: Callable[[int, Trace], None] | None = None
) -> Gathered:
    """What all the files say. Raises InputError for one that isn't of a rank, or of one that another is of too.

    tensor_parallel: how many ranks there are of files that don't say it, as a recorder of one's own writes them.
    keep: hears each rank's own trace.
    """
    _allow_open_files(len(paths))
    gathered = Gathered()
    for ranked in _opened(paths, tensor_parallel):
        if ranked.rank in gathered.names:
            raise InputError(f"{ranked.name}: is of rank {ranked.rank}, as {gathered.names[ranked.rank]} is")
        gathered.add(ranked)
        if keep is not None:
            keep(ranked.rank, ranked.trace)
    if not gathered.ranks:
        raise InputError("no files of ranks were given")
    return gathered


def _allow_open_files(count: int) -> None:
    """A file stays open as long as its values may be read: of many ranks more than a process may have by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if needed > soft != resource.RLIM_INFINITY:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def _opened(paths: Sequence[Path], tensor_parallel: int | None) -> Iterator[RankTrace]:
    if tensor_parallel is not None:
        yield from _placed(paths, tensor_parallel)
        return
    for path in paths:
        trace = open_recorded(path)
        parallel = trace.run.parallel
        if parallel is None:
            advice = (
                "`--tp N` reads files of N tensor-parallel ranks that don't" if trace.dump else "one process ran it"
            )
            raise InputError(f"{path}: doesn't say which rank of several recorded it; {advice}")
        if parallel.rank is None:
            raise InputError(f"{path}: is merged already")
        yield RankTrace(str(path), trace, parallel, parallel.rank)


def _placed(paths: Sequence[Path], count: int) -> Iterator[RankTrace]:
    from tracetui.recording.ranks.styles import placed

    if len(paths) != count:
        raise InputError(f"--tp {count}: needs the files of {count} ranks, got {len(paths)}")
    traces: list[Trace] = [open_recorded(path) for path in sorted(paths, key=_number)]
    for rank, (path, trace) in enumerate(zip(sorted(paths, key=_number), placed(traces), strict=True)):
        yield RankTrace(str(path), trace, trace.run.parallel or Parallel(count, rank), rank)

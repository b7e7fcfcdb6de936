"""What the control groups around the process still allow it of memory.

A limit may stand on the process's own group (a systemd scope, a SLURM step, a Kubernetes container) or on any group
around it, under version 1 or 2 of the kernel's interface or a mixture of both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNLIMITED = 2**63


@dataclass(frozen=True, slots=True)
class _Limit:
    """The files of one thing that a group limits."""

    most: tuple[str, ...]
    """Beyond one of these the process is killed, or hardly runs."""
    used: str
    around: str = ""
    """In memory.stat: the least limit of all groups around, those that a container hides too."""


@dataclass(frozen=True, slots=True)
class _Interface:
    """The names of one version of the kernel's interface."""

    filesystem: str
    limits: tuple[_Limit, ...]
    inactive: str
    """Pages of files that were read once, in memory.stat: the kernel drops them before it refuses anybody memory."""
    active: str
    """Those that were read again, which it drops too, but for what is mapped, as libraries are."""
    mapped: str
    reclaimable: str = ""
    """What the kernel itself keeps of names and places of files, and gives back for the most part."""
    counts_inner: str = ""
    """A file that holds 0 where a group doesn't count what the groups in it use."""


_V1 = _Interface(
    "cgroup",
    (
        _Limit(("memory.limit_in_bytes",), "memory.usage_in_bytes", "hierarchical_memory_limit"),
        _Limit(("memory.memsw.limit_in_bytes",), "memory.memsw.usage_in_bytes", "hierarchical_memsw_limit"),
    ),
    "total_inactive_file",
    "total_active_file",
    "total_mapped_file",
    counts_inner="memory.use_hierarchy",
)
_V2 = _Interface(
    "cgroup2",
    (_Limit(("memory.max", "memory.high"), "memory.current"),),
    "inactive_file",
    "active_file",
    "file_mapped",
    reclaimable="slab_reclaimable",
)


def groups_available(root: Path = Path("/")) -> int:
    """The least that a control group of the process, or one around it, still allows; UNLIMITED without limits.

    root: where `proc` and what is mounted lie.
    """
    return min((_group_available(folder, names) for folder, names in _groups(root)), default=UNLIMITED)


def _groups(root: Path) -> Iterator[tuple[Path, _Interface]]:
    """The folders of the process's groups and of all around them, as far as they are in sight."""
    mounts = list(_mounts(root))
    for line in lines_of(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        interface = _V2 if number == "0" and not controllers else _V1 if "memory" in controllers.split(",") else None
        if interface is None:
            continue
        for filesystem, options, mounted_root, place in mounts:
            if filesystem == interface.filesystem and (interface is _V2 or "memory" in options):
                mount = root / place.relative_to("/")
                own, *around = _upwards(mount, _own_group(mount, mounted_root, path))
                yield own, interface
                yield from ((folder, interface) for folder in around if _counts_inner(folder, interface))


def _mounts(root: Path) -> Iterator[tuple[str, list[str], PurePosixPath, PurePosixPath]]:
    """The mounted hierarchies: filesystem, options, which group is mounted, and where."""
    for line in lines_of(root / "proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        about, kind = fields.split(), rest.split()
        if len(about) > 4 and len(kind) > 2 and kind[0] in (_V1.filesystem, _V2.filesystem):
            yield kind[0], kind[2].split(","), PurePosixPath(_unescaped(about[3])), PurePosixPath(_unescaped(about[4]))


def _own_group(mount: Path, mounted: PurePosixPath, path: str) -> Path:
    """The folder of the group at `path` of a hierarchy of which the group `mounted` is in sight at `mount`.

    In a container the path may be one of outside, or lie beyond what is mounted: then the mount alone is in sight.
    """
    group = PurePosixPath(path)
    inside = group.relative_to(mounted) if group.is_relative_to(mounted) else PurePosixPath()
    above = mounted.parts[1:]
    if above and set(above) == {".."} and ".." not in group.parts:
        # A namespace of its own, and the mount from before it: the path begins at a group that has no name here.
        named = group.relative_to("/")
        candidates = (folder / named for folder in sorted(mount.glob("/".join("*" for _ in above))))
        return next(filter(_is_own, candidates), mount)
    return mount if ".." in inside.parts else mount / inside


def _is_own(folder: Path) -> bool:
    """Whether the process is in this very group."""
    return str(os.getpid()) in lines_of(folder / "cgroup.procs")


def _upwards(mount: Path, folder: Path) -> Iterator[Path]:
    yield from (folder, *(parent for parent in folder.parents if parent.is_relative_to(mount)))


def _counts_inner(folder: Path, names: _Interface) -> bool:
    return not names.counts_inner or number_in(folder / names.counts_inner) != 0


def _group_available(folder: Path, names: _Interface) -> int:
    parts = (line.partition(" ") for line in lines_of(folder / "memory.stat"))
    counts = {name: int(value) for name, _, value in parts if value.isdecimal()}
    files = counts.get(names.inactive, 0) + max(0, counts.get(names.active, 0) - counts.get(names.mapped, 0))
    freed = files + counts.get(names.reclaimable, 0) // 2
    return min(_left(folder, limit, counts, freed) for limit in names.limits)


def _left(folder: Path, limit: _Limit, counts: dict[str, int], freed: int) -> int:
    """What one limit of a group leaves, when the kernel has dropped what it can."""
    used = number_in(folder / limit.used)
    limits = [*(number_in(folder / name) for name in limit.most), counts.get(limit.around)]
    most = min((each for each in limits if each is not None), default=None)
    return UNLIMITED if most is None or used is None else max(0, most - max(0, used - freed))


def number_in(file: Path) -> int | None:
    """The number in a file; None where there is none, as of `max`."""
    lines = lines_of(file)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def lines_of(file: Path) -> list[str]:
    """The lines of one of the kernel's files; none where it isn't there."""
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _unescaped(path: str) -> str:
    """The kernel writes blanks and backslashes in mountinfo as octal numbers."""
    for code in ("040", "011", "012", "134"):
        path = path.replace(f"\\{code}", chr(int(code, 8)))
    return path

"""What memory there is: of the machine, and of every control group that the process is in.

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
class _Interface:
    """The names of one version of the kernel's interface."""

    filesystem: str
    limits: tuple[str, ...]
    """Beyond one the process is killed, beyond another it hardly runs."""
    used: str
    inactive: str
    """Pages of files that were read once, in memory.stat: the kernel drops them before it refuses anybody memory."""
    active: str
    """Those that were read again, which it drops too, but for what is mapped, as libraries are."""
    mapped: str
    around: str = ""
    """The least limit of all groups around, those that a container hides too."""


_V1 = _Interface(
    "cgroup",
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    "total_inactive_file",
    "total_active_file",
    "total_mapped_file",
    "hierarchical_memory_limit",
)
_V2 = _Interface(
    "cgroup2", ("memory.max", "memory.high"), "memory.current", "inactive_file", "active_file", "file_mapped"
)


def available_bytes() -> int:
    """What the machine can give without swapping, and every group around the process and its own limits allow."""
    return max(0, min(_machine_available(), groups_available(), _limits_available()))


def own_bytes() -> int:
    """What the process holds in memory now."""
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return resident * os.sysconf("SC_PAGE_SIZE")


def groups_available(root: Path = Path("/")) -> int:
    """The least that a control group of the process, or one around it, still allows; UNLIMITED without limits.

    root: where `proc` and what is mounted lie.
    """
    return min((_group_available(root, group, names) for group, names in _groups(root)), default=UNLIMITED)


def _limits_available() -> int:
    """What `ulimit -v` and `ulimit -d` still allow; UNLIMITED without, and where the system doesn't tell."""
    try:
        import resource

        pages = [int(count) for count in Path("/proc/self/statm").read_text().split()]
    except (ImportError, OSError, ValueError):
        return UNLIMITED
    held = {resource.RLIMIT_AS: pages[0], resource.RLIMIT_DATA: pages[5]}
    soft = {limit: resource.getrlimit(limit)[0] for limit in held}
    page = os.sysconf("SC_PAGE_SIZE")
    rest = (most - held[limit] * page for limit, most in soft.items() if most != resource.RLIM_INFINITY)
    return min(rest, default=UNLIMITED)


def _machine_available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups(root: Path) -> Iterator[tuple[PurePosixPath, _Interface]]:
    """The folders of the process's groups and of all around them, as far as they are in sight."""
    mounts = list(_mounts(root))
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        interface = _V2 if number == "0" and not controllers else _V1 if "memory" in controllers.split(",") else None
        if interface is None:
            continue
        for filesystem, options, mounted_root, mount in mounts:
            if filesystem == interface.filesystem and (interface is _V2 or "memory" in options):
                yield from ((folder, interface) for folder in _upwards(mount, mounted_root, path))


def _mounts(root: Path) -> Iterator[tuple[str, list[str], PurePosixPath, PurePosixPath]]:
    """The mounted hierarchies: filesystem, options, which group is mounted, and where."""
    for line in _lines(root / "proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        about, kind = fields.split(), rest.split()
        if len(about) > 4 and len(kind) > 2 and kind[0] in (_V1.filesystem, _V2.filesystem):
            yield kind[0], kind[2].split(","), PurePosixPath(_unescaped(about[3])), PurePosixPath(_unescaped(about[4]))


def _upwards(mount: PurePosixPath, mounted: PurePosixPath, path: str) -> Iterator[PurePosixPath]:
    """From the group at `path` of a hierarchy up to the group that is mounted.

    In a container the path may be one of outside, or lie beyond what is mounted: then the mount alone is in sight.
    """
    group = PurePosixPath(path)
    inside = group.relative_to(mounted) if group.is_relative_to(mounted) else PurePosixPath()
    if ".." in inside.parts:
        inside = PurePosixPath()
    folder = mount / inside
    yield from (folder, *(parent for parent in folder.parents if parent.is_relative_to(mount)))


def _group_available(root: Path, group: PurePosixPath, names: _Interface) -> int:
    folder = root / group.relative_to("/")
    used = _number(folder / names.used)
    parts = (line.partition(" ") for line in _lines(folder / "memory.stat"))
    counts = {name: int(value) for name, _, value in parts if value.isdecimal()}
    limits = [_number(folder / name) for name in names.limits] + [counts.get(names.around)]
    limit = min((each for each in limits if each is not None), default=None)
    if limit is None or used is None:
        return UNLIMITED
    active = max(0, counts.get(names.active, 0) - counts.get(names.mapped, 0))
    return max(0, limit - max(0, used - counts.get(names.inactive, 0) - active))


def _number(file: Path) -> int | None:
    """The number in a file; None where there is none, as of `max`."""
    lines = _lines(file)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _unescaped(path: str) -> str:
    """The kernel writes blanks and backslashes in mountinfo as octal numbers."""
    for code in ("040", "011", "012", "134"):
        path = path.replace(f"\\{code}", chr(int(code, 8)))
    return path

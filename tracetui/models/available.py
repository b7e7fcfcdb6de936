"""How much memory the machine can give."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


def available_bytes() -> int:
    """What the machine can give without swapping, and the container allows."""
    return max(0, min(_machine_available(), _container_available()))


def _machine_available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _container_available() -> int:
    limit, used = _first_number(_CGROUP_LIMITS), _first_number(_CGROUP_USED)
    return limit - used if limit is not None and used is not None else 2**63


def _first_number(files: tuple[str, ...]) -> int | None:
    for file in files:
        try:
            return int(Path(file).read_text())
        except (OSError, ValueError):
            continue
    return None

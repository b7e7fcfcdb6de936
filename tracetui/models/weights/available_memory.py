"""What memory there is: of the machine, of every control group that the process is in, and by its own limits."""

from __future__ import annotations

import os
from pathlib import Path

from tracetui.models.weights.control_groups import UNLIMITED, groups_available
from tracetui.models.weights.memory_nodes import nodes_available


def available_bytes() -> int:
    """What the machine can give without swapping, and every group around the process and its own limits allow."""
    return max(0, min(_machine_available(), groups_available(), nodes_available(), _limits_available()))


def own_bytes() -> int:
    """What the process holds in memory now."""
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return resident * os.sysconf("SC_PAGE_SIZE")


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

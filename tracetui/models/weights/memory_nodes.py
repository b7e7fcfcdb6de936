"""What the memory nodes that the process may use still have, where it may not use all of the machine's.

A group of processors (SLURM's, Kubernetes' memory manager, a cpuset) is often held to the memory beside them, and the
process is killed when that is full, however much the others have.
"""

from __future__ import annotations

import re
from pathlib import Path

from tracetui.models.weights.control_groups import UNLIMITED, lines_of

_MOST_NODES = 4096
_DROPPED = ("MemFree", "Active(file)", "Inactive(file)")
"""What is free, and what the kernel drops of files before it refuses anybody memory."""


def nodes_available(root: Path = Path("/")) -> int:
    """Bytes of the nodes that the process may use; UNLIMITED if it may use all, and where the system doesn't tell.

    root: where `proc` and `sys` lie.
    """
    system = root / "sys/devices/system/node"
    with_memory = _numbers("".join(lines_of(system / "has_memory") or lines_of(system / "online")))
    status = (line.partition(":") for line in lines_of(root / "proc/self/status"))
    allowed = next((_numbers(value) for name, _, value in status if name == "Mems_allowed_list"), set())
    if not allowed or not with_memory - allowed:
        return UNLIMITED
    return sum(_node_bytes(system / f"node{number}" / "meminfo") for number in with_memory & allowed)


def _numbers(ranges: str) -> set[int]:
    """`0-1,3` as 0, 1 and 3."""
    pairs = re.findall(r"(\d+)(?:-(\d+))?", ranges)
    return {number for first, last in pairs for number in range(int(first), min(int(last or first), _MOST_NODES) + 1)}


def _node_bytes(meminfo: Path) -> int:
    """Of lines like `Node 0 MemFree:  123 kB`."""
    fields = (line.replace(":", " ").split() for line in lines_of(meminfo))
    return sum(1024 * int(count) for _, _, name, count, *_ in fields if name in _DROPPED)

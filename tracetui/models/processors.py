"""How many processors the process may use."""

from __future__ import annotations

import os


def processor_count() -> int:
    """Those that the process is allowed on; where the system has no such list (macOS), all of the machine."""
    allowed = getattr(os, "sched_getaffinity", None)
    return max(1, len(allowed(0)) if allowed is not None else os.cpu_count() or 1)

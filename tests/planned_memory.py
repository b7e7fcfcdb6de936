"""What a run's plan says, and what the run takes: a process of its own for each, by the kernel's count of its peak."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

_RUN = """
import json, os, sys
from tracetui.models.memory import plan as memory
planned = []
check = memory.check
def looked_at(plan, held):
    planned.append(plan.peak)
    if plan.peak > int(os.environ["MOST"]):
        raise memory.InputError(f"not run: plans for {plan.peak / 2**20:,.0f} MiB")
    check(plan, held)
memory.check = looked_at
sys.argv[0] = "tracetui"
from tracetui.cli import main
status = main()
# The system's own count for a child begins with what its parent had when it was started.
peak, = (int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([max(planned), peak]))
sys.exit(status)
"""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """Bytes."""

    plan: int
    peak: int

    @property
    def ratio(self) -> float:
        return self.plan / self.peak


def planned_run(*arguments: str, most: int = sys.maxsize) -> PlannedRun:
    """`tracetui trace` with these arguments. Raises RuntimeError with what it wrote if it fails, or plans for more
    than `most` bytes."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MOST": str(most)}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _RUN, "trace", *arguments, "-o", str(Path(folder) / "run.npz")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
    return PlannedRun(*json.loads(done.stdout.splitlines()[-1]))

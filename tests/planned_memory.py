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
import json, sys
from tracetui.models import plan as memory
planned = []
check = memory.check
memory.check = lambda plan, held: (planned.append(plan.peak), check(plan, held))[1]
sys.argv[0] = "tracetui"
from tracetui.cli import main
status = main()
print(json.dumps(planned))
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


def planned_run(*arguments: str) -> PlannedRun:
    """`tracetui trace` with these arguments. Raises RuntimeError with what it wrote if it fails."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _RUN, "trace", *arguments, "-o", str(Path(folder) / "run.npz")]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert child.stdout is not None
        written = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        child.stdout.close()
    if status:
        raise RuntimeError(f"{arguments}: {written}")
    return PlannedRun(max(json.loads(written.splitlines()[-1])), used.ru_maxrss * 1024)

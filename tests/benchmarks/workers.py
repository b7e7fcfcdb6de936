"""Processes that are timed, each with a deadline: one that hangs ends the benchmark with an error."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

DEADLINE = 900.0
"""Seconds for one thing that is timed; what takes longer hangs."""


PATIENCE = 10.0
"""Seconds that one has to end in when it is told to."""
COMMIT = "0fcd0fa"
"""Beside which later code is measured."""


def before(folder: Path) -> Path:
    """The tracetui of COMMIT, unpacked into a folder; or that of the folder that TRACETUI_BEFORE names."""
    if named := os.environ.get("TRACETUI_BEFORE"):
        return Path(named)
    packed = folder / "before.tar"
    run(["git", "archive", "-o", str(packed), COMMIT], Path(__file__).parents[2])
    (folder / "before").mkdir()
    run(["tar", "-x", "-f", str(packed), "-C", str(folder / "before")])
    return folder / "before"


class Worker:
    """A process that runs Python code, which answers each line that it is given with a number of seconds."""

    def __init__(self, code: str, folder: Path) -> None:
        """folder: whose tracetui it imports."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
        self._child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder
        )

    def seconds(self, *work: str) -> float:
        """What it answers to these words. Raises RuntimeError if it ends or takes too long."""
        stdin, stdout = self._child.stdin, self._child.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(" ".join(work).encode() + b"\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], DEADLINE)
        line = stdout.readline() if ready else b""
        if not line:
            self.close()
            raise RuntimeError(f"{' '.join(work)}: {'ended' if ready else f'took more than {DEADLINE:g} s'}")
        return float(line)

    def close(self) -> None:
        """End it, whether it answers or not."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        try:
            self._child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def run(command: list[str], folder: Path | None = None, deadline: float = DEADLINE) -> str:
    """What a process printed. Raises RuntimeError with its errors if it fails, and if it takes too long."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=folder, timeout=deadline, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{command[0]} took more than {deadline:g} s") from error
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
    return done.stdout

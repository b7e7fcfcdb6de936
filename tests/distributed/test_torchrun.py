"""The command under torchrun itself, once: everything else is tried on forked ranks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tracetui.recording.npz import read_trace


def test_torchrun_writes_the_one_file(tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command = ["-m", "tracetui", "trace", "llama-tiny", "--layers", "1", "--tokens", "1,2,3", "-o", "run.npz"]
    done = subprocess.run(
        [*launch, *command],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("run.npz: ")
    assert done.stdout.count("run.npz: ") == 1
    assert "model.layers.0" in read_trace(tmp_path / "run.npz")

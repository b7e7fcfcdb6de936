"""A process that torchrun started, and what it knows of torchrun."""

from __future__ import annotations

import os
import subprocess
import sys

_CHILD = """
import time
from tracetui.launch import is_launcher_gone
print(is_launcher_gone(), flush=True)
for _ in range(3000):
    if is_launcher_gone():
        break
    time.sleep(0.01)
print(is_launcher_gone(), flush=True)
"""


def _after_its_parent(**environment: str) -> subprocess.Popen[str]:
    """A process whose parent ends as soon as it is sent a line."""
    return subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1" & read -r line', sys.executable, _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_a_rank_learns_that_torchrun_is_gone() -> None:
    with _after_its_parent(TORCHELASTIC_RUN_ID="1") as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "False\n"
        assert shell.communicate("\n", timeout=60)[0] == "True\n"

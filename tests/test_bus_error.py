"""Memory mapped from a file that was cut short: one line that names the file, and status 1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import mmap, os, sys, threading
import numpy as np
from tracetui.bus_error import before_bus_error, catch_bus_errors

path, catches, thread = sys.argv[1:]
if catches == "caught":
    catch_bus_errors()
    before_bus_error(lambda: os.write(1, b"given back"))
with open(path, "r+b") as file:
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
os.truncate(path, 0)
touch = {"python's own": lambda: mapped[5000:6000], "numpy's": lambda: np.frombuffer(mapped, np.float32).sum()}[thread]
one = threading.Thread(target=touch)
one.start()
one.join()
"""


@pytest.mark.parametrize("thread", ["python's own", "numpy's"])
def test_the_file_is_named_and_the_status_is_1(tmp_path: Path, thread: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"\0" * 2**20)
    done = ended(path, "caught", thread)
    assert done.returncode == 1
    assert done.stdout == "given back"
    assert done.stderr == f"tracetui: {path}: was changed while it was open; run it again\n"


def test_without_it_the_process_is_gone_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"\0" * 2**20)
    done = ended(path, "not", "numpy's")
    assert done.returncode < 0
    assert done.stdout == ""


def ended(path: Path, *said: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(path), *said]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

"""Whatever goes wrong while a trace is written, the old file or the new one is there, whole."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import injected
from tests.recording.made import assert_same, small_trace
from tracetui.errors import RunError
from tracetui.recording.npz import read_trace, write_trace

OLD, NEW = 5, 3000
"""Rows of the trace that is there, and of the one that takes its place."""


def is_old_or_new(path: Path) -> bool:
    """Whether the file is whole; True if it is the new one."""
    trace = read_trace(path)
    rows = trace.records[0].shape[1]
    assert_same(trace, small_trace(rows))
    assert rows in (OLD, NEW)
    return rows == NEW


def full_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("strike", "expected"), [(full_disk, RunError), (interrupted, KeyboardInterrupt)], ids=["disk full", "interrupt"]
)
def test_the_nth_operation_may_fail(tmp_path: Path, strike: object, expected: type[BaseException]) -> None:
    path = tmp_path / "t.npz"
    assert callable(strike)
    for nth in range(1, 100):
        write_trace(small_trace(OLD), path)
        caught: BaseException | None = None
        with injected(nth, strike) as faults:
            try:
                write_trace(small_trace(NEW), path)
            except expected as error:
                caught = error
        assert (caught is not None) == faults.fired
        assert not isinstance(caught, RunError) or str(caught).startswith(f"{path}: can't be written: No space left")
        is_old_or_new(path)
        assert list(tmp_path.iterdir()) == [path]
        if not faults.fired:
            break
    assert nth > 8
    assert is_old_or_new(path)


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.faults import injected
from tests.recording.made import small_trace
from tracetui.recording.npz import write_trace
path = Path(sys.argv[1])
for nth in range(1, 100):
    child = os.fork()
    if child == 0:
        with injected(nth, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            write_trace(small_trace(3000), path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    os.rename(path, path.with_name(f"{nth}.npz")) if path.exists() else None
    write_trace(small_trace(5), path)
    print(nth, status, flush=True)
    if status == 0:
        break
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_trace(small_trace(OLD), path)
    run = subprocess.run([sys.executable, "-c", _KILLED, str(path)], capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    ends = [line.split() for line in run.stdout.splitlines()]
    assert len(ends) > 8
    news = [is_old_or_new(tmp_path / f"{nth}.npz") for nth, _ in ends]
    assert not news[0]
    assert news[-1]


_FULL = """
import resource, sys
from pathlib import Path
from tests.recording.made import small_trace
from tracetui.errors import RunError
from tracetui.recording.npz import write_trace
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_trace(small_trace(3000), Path(sys.argv[1]))
except RunError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_is_an_error_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_trace(small_trace(OLD), path)
    run = subprocess.run([sys.executable, "-c", _FULL, str(path)], capture_output=True, text=True, timeout=60)
    assert run.stdout == f"{path}: can't be written: File too large\n", run.stderr
    assert not is_old_or_new(path)
    assert list(tmp_path.iterdir()) == [path]


def test_giving_up_from_the_progress_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    write_trace(small_trace(OLD), path)

    def give_up(done: int, total: int) -> None:
        if done > total / 2:
            raise InterruptedError

    with pytest.raises(RunError):
        write_trace(small_trace(NEW), path, give_up)
    assert not is_old_or_new(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere/t.npz: can't be written: No such file or directory"):
        write_trace(small_trace(), tmp_path / "nowhere" / "t.npz")
    with pytest.raises(RunError, match="can't be written: is not a regular file"):
        write_trace(small_trace(), tmp_path)


_WRITES = """
import sys
from pathlib import Path
from tests.recording.made import small_trace
from tracetui.recording.npz import write_trace
old, new = small_trace(5), small_trace(3000)
print("on", flush=True)
for turn in range(10_000):
    write_trace((old, new)[turn % 2], Path(sys.argv[1]), compress=turn % 4 > 1)
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("TRACETUI_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    path, moments = tmp_path / "t.npz", random.Random(5)
    write_trace(small_trace(OLD), path)
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-c", _WRITES, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.random() / 20)
        child.kill()
        child.communicate()
        is_old_or_new(path)
    for part in tmp_path.glob(".t.npz.*.part"):
        os.utime(part, (time.time() - 7200,) * 2)
    write_trace(small_trace(NEW), path)
    assert list(tmp_path.iterdir()) == [path], "what killed writers left is swept"

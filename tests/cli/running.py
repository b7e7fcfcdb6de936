"""Runs the command line, here or in a child process, and looks at what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.warm import WarmProcess
from tracetui import cli

COMMAND = (sys.executable, "-m", "tracetui")
SECONDS = 90
"""How long a child may take at most; a machine with other work to do is slow."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that failed, details below it left out."""
        lines = [line for line in self.err.splitlines() if not line.startswith("  ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("tracetui: ")
        assert lines[0].isprintable()
        assert "internal error" not in lines[0]
        assert "Traceback" not in self.out + self.err
        assert "\x1b" not in self.out + self.err
        return lines[0].removeprefix("tracetui: ")


class Here:
    """Runs commands in this process: what they import is imported once."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._capture = capture

    def __call__(self, *arguments: str) -> Said:
        self._patch.setattr(sys, "argv", ["tracetui", *arguments])
        self._capture.readouterr()
        try:
            status = cli.main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else -1
        found = self._capture.readouterr()
        return Said(status, found.out, found.err)

    def refused(self, *arguments: str) -> str:
        """What a command says that must be refused as bad input."""
        said = self(*arguments)
        assert said.status == 2, said
        assert said.out == ""
        return said.complaint


def started(*arguments: str, threads: int = 1, cwd: Path | None = None) -> subprocess.Popen[str]:
    """A child process that runs a command, with pipes for its output."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)},
    )


def started_warm(*arguments: str, cwd: Path | None = None) -> WarmProcess:
    """The same in a process that has imported its libraries already."""
    return WarmProcess.with_pipes([*COMMAND[1:], *arguments], cwd=cwd or Path.cwd(), env=os.environ)


def ended(child: subprocess.Popen[str] | WarmProcess) -> Said:
    """What a child has said when it has ended; killed if it doesn't end."""
    try:
        out, err = child.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        out, err = child.communicate()
        pytest.fail(f"{child.args!r} ran on; it said {out}{err}")
    return Said(child.wait(), out, err)

"""A signal at a random moment of the program's start, run or end, on a real terminal: it goes at once, and in order."""

from __future__ import annotations

import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cli.terminal import Terminal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SCREEN = b"\x1b[?1049h"
_PLAIN = ("trace", "outline", "info", "diff", "models")
_ON_SCREEN = ("run", "open", "compare")
_SECOND_CTRL_C = 1.0
"""Seconds after which a run that the first Ctrl-C has cancelled is left by another."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One process that was told to end, and how it did."""

    command: str
    moment: str
    """`start`, `run` or `end`."""
    number: signal.Signals
    after: float
    """Seconds from there to the signal."""
    seconds: float
    """From the signal to the process's end."""
    status: int
    trouble: str
    """What was not in order; empty if all was."""

    def __str__(self) -> str:
        told = f"{self.number.name} {self.after:.2f} s after {self.moment} of {self.command}"
        return f"{told}: status {self.status} after {self.seconds:.1f} s{self.trouble and ': ' + self.trouble}"


def storm(seed: int, recording: Path, folder: Path, limit: float) -> Trial:
    """One trial; `limit` is how many seconds the process may take to go."""
    rng = random.Random(seed)
    number = rng.choice(SIGNALS)
    command = rng.choice((*_PLAIN, *_ON_SCREEN, *_ON_SCREEN))
    moment = rng.choice(("start", "run", "end")) if command in _ON_SCREEN else "start"
    # As many within the first tenths of a second as within the seconds in which libraries are imported.
    after = 10 ** rng.uniform(-1.5, 0.9) if moment == "start" else rng.uniform(0, 2 if moment == "run" else 0.4)
    with Terminal(*_arguments(command, recording, folder / f"{seed}.npz"), cwd=folder) as terminal:
        if moment != "start":
            terminal.until("recorded" if command != "compare" else "sites", seconds=60)
            terminal.send("\r" if moment == "run" else "q")
        terminal.look(after)
        ended = terminal.child.poll() is not None
        terminal.kill(number)
        began = time.monotonic()
        while terminal.child.poll() is None and time.monotonic() - began < limit:
            terminal.look(0.1)
            if number == signal.SIGINT and time.monotonic() - began > _SECOND_CTRL_C:
                terminal.kill(number)
        seconds = time.monotonic() - began
        gone = terminal.child.poll() is not None
        status = terminal.ended(1) if gone else -1
        trouble = "" if ended else _trouble(terminal, status, gone, number, moment)
    return Trial(command, moment, number, after, seconds, status, trouble)


def _arguments(command: str, recording: Path, output: Path) -> tuple[str, ...]:
    file = str(recording)
    return {
        "trace": ("trace", "llama-tiny", "-o", str(output)),
        "outline": ("outline", "llama-tiny"),
        "info": ("info", file),
        "diff": ("diff", file, file),
        "models": ("models",),
        "run": ("run", "llama-tiny", "-p", "hello"),
        "open": ("open", file),
        "compare": ("diff", file, file, "--tui"),
    }[command]


def _trouble(terminal: Terminal, status: int, gone: bool, number: signal.Signals, moment: str) -> str:
    if not gone:
        return "runs on"
    if status == 1 and b"tracetui" not in terminal.written:
        # The interpreter was starting itself, and the first line of ours had not run.
        return ""
    # Just before its end a command may end of itself.
    if status not in (128 + number, 0):
        return f"another status than {128 + number}"
    if SCREEN in terminal.written:
        try:
            terminal.assert_restored()
        except AssertionError as error:
            return f"the terminal is not given back: {str(error).splitlines()[0]}"
    written = terminal.written.decode(errors="replace")
    for word in ("Traceback", "internal error", "Exception ignored", "Error:"):
        if word in written and "tracetui" in (shown := written[written.index(word) :]):
            return shown[-1500:]
    return ""

"""`tracetui open`: the whole screen where torch isn't installed, and no value read before it is painted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.ui.recording import LOOK_AROUND, written

_WITHOUT_TORCH = """
import asyncio, sys
from pathlib import Path

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refusing())
from tracetui.debugger.recorded_session import RecordedSession, open_recording
from tracetui.recording.npz.array_file import ArrayFile
from tracetui.ui.app import TracetuiApp
from tracetui.debugger.start_page import page_of_recording

path, painted, early = Path(sys.argv[1]), [], []
read = ArrayFile.read

def watched(self, place, index=()):
    if not painted:
        early.append(place.name)
    return read(self, place, index)

ArrayFile.read = watched
trace = open_recording(path)

begin = TracetuiApp._begin

async def after_the_first_paint(self):
    painted.append(self.screen.size)
    await begin(self)

TracetuiApp._begin = after_the_first_paint

"""
_EARLY = "assert painted and not early, early"

_TTY = """
import os, sys
sys.stdin.isatty = sys.stdout.isatty = lambda: True
import tracetui.ui.app as ui
ran = []
ui.TracetuiApp.run = lambda self: ran.append(self) or 0
from tracetui import cli
sys.argv = ["tracetui", "open", sys.argv[1]]
status = cli.main()
print(status, len(ran), bool({"torch", "transformers"} & sys.modules.keys()))
"""


def python(snippet: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", snippet, *arguments], capture_output=True, text=True, timeout=90, check=False
    )


def test_the_whole_screen_opens_where_there_is_no_torch(tmp_path: Path) -> None:
    done = python(f"{_WITHOUT_TORCH}{LOOK_AROUND}{_EARLY}", str(written(tmp_path / "t.npz")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "whole"


def test_the_command_opens_the_screen_and_loads_no_torch(tmp_path: Path) -> None:
    done = python(_TTY, str(written(tmp_path / "t.npz")))
    assert done.stdout.split() == ["0", "1", "False"], done.stderr


def test_without_a_terminal_it_names_the_way_without_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tracetui", "open", str(written(tmp_path / "t.npz"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "tracetui: open: needs a terminal; `tracetui info` works without one\n"

"""Whole screens as text. After a wanted change: `TRACETUI_SNAPSHOTS=write pytest tests/ui/test_snapshots.py`, and look.

Only the embedding's record is shown: its numbers come from no matrix product, so they are the same everywhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.ui.driving import driven
from tests.ui.tiny_llama import outline

FOLDER = Path(__file__).parent / "snapshots"
KEYS = {  # each begins anew
    "first": (),
    "stopped": ("enter",),
    "token": ("enter", ">", ">", ">"),
    "teach": ("enter", "question_mark"),
    "help": ("enter", "question_mark", "question_mark"),
}
SCREENS = [
    ("first", (80, 24)),
    ("first", (120, 40)),
    ("stopped", (80, 24)),
    ("stopped", (120, 40)),
    ("stopped", (180, 50)),
    ("token", (60, 16)),
    ("teach", (80, 24)),
    ("help", (80, 24)),
]


@pytest.mark.parametrize(("name", "size"), SCREENS)
async def test_the_screen_is_as_it_was(name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.ui.panes.log.pane.clock_now", lambda: "14:03:09")
    async with driven(size=size, outline=outline(30)) as it:
        await it.press(*KEYS[name])
        found = it.text() + "\n"
    path = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("TRACETUI_SNAPSHOTS") == "write":
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")

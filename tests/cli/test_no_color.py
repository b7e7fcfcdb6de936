"""Under NO_COLOR a terminal is sent no colour at all, whatever is on view; places stay marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal
from tests.ui.recording import recorded
from tracetui.recording.npz import write_trace

_STYLES = re.compile(rb"\x1b\[([0-9;:]*)m")
_COLOURS = frozenset({*range(30, 50), *range(90, 108)})
_ASKED_OR_SET = re.compile(rb"\x1b\](?:4|1[0-9]);")
"""A palette's colours, or those of text and ground."""


def colours(written: bytes) -> set[bytes]:
    """Every sequence that sets a colour."""
    found = {match[0] for match in _STYLES.finditer(written) if _COLOURS & set(map(int, re.findall(rb"\d+", match[1])))}
    return found | set(_ASKED_OR_SET.findall(written))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With one recording."""
    folder = tmp_path_factory.mktemp("no-color")
    write_trace(recorded(), folder / "a.npz")
    return folder


def seen(arguments: tuple[str, ...], folder: Path, steps: tuple[tuple[str, str], ...], **env: str) -> bytes:
    """All that was sent while keys were pressed, each time until a text is there."""
    with Terminal(*arguments, cwd=folder, env=env, columns=120, rows=40) as terminal:
        for keys, text in steps:
            terminal.send(keys)
            terminal.until(text)
        return terminal.written


_AROUND = (
    ("", "Modules"),
    ("3", "softmax"),
    ("H", "entropy"),
    ("\r45", "logit"),
    ("6", "recorded"),
    ("2pO", "log from"),
    ("9hh1%", "growth"),
    ("t", "catppuccin"),
    ("\x1b", "embed"),
    ("?", "this pane"),
)


def test_no_screen_of_a_recording_sends_colours(folder: Path) -> None:
    written = seen(("open", "a.npz"), folder, _AROUND, NO_COLOR="1")
    assert colours(written) == set()
    assert b"\x1b[7m" in written or b";7m" in written, "where one is, is reversed"


def test_neither_does_the_comparison(folder: Path) -> None:
    steps = (("", "Same"), ("I", "A  a.npz"), ("78", "A−B"))
    assert colours(seen(("diff", "a.npz", "a.npz", "--tui"), folder, steps, NO_COLOR="1")) == set()


def test_neither_does_the_home_screen(folder: Path) -> None:
    assert colours(seen((), folder, (("", "q quit"),), NO_COLOR="1")) == set()

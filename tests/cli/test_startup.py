"""The line that moves before there is a screen; that keys typed then are heard is seen in test_terminal.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import Here
from tests.cli.terminal import Terminal
from tracetui import startup_line
from tracetui.startup_line import begin_for


def test_a_command_that_is_refused_gives_the_line_and_the_keys_back(tmp_path: Path) -> None:
    with Terminal("run", "no-such-model", cwd=tmp_path, warm=True) as terminal:
        assert terminal.ended() == 2
        assert b"\r\x1b[Ktracetui: no-such-model" in terminal.written
        assert terminal.settings == terminal.now()


def test_the_home_screen_opens_a_line_that_was_typed_and_comes_back_with_what_was_wrong(tmp_path: Path) -> None:
    with Terminal("run", "--layers", "0:1", cwd=tmp_path, warm=True) as terminal:
        terminal.until("Take the tour", "llama-tiny", "type or find")
        terminal.send("/tracetui run llama-tiny --break '(' \r")
        terminal.until("never closed", "q quit")
        terminal.send("q")
        assert terminal.ended() == 0
        terminal.assert_restored()


def test_without_a_terminal_nothing_can_be_chosen(tracetui: Here) -> None:
    assert tracetui.refused("run").startswith("the following arguments are required: MODEL; `tracetui run --help`")
    assert tracetui().out.startswith("usage: tracetui")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "tracetui"),
        (["open", "--fresh", "f.npz"], "tracetui f.npz"),
        (["run", "\x1b[31m"], "tracetui"),
        (["run", "--help"], None),
        (["--version"], None),
        (["trace", "llama-tiny"], None),
    ],
)
def test_only_a_command_that_opens_a_screen_shows_it(
    arguments: list[str], text: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(startup_line.startup_line, "begin", begun.append)
    begin_for(arguments)
    assert begun == ([] if text is None else [text])

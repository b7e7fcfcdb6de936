"""What a line that was typed or pasted opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tracetui.debugger.home.typed import typed_command
from tracetui.debugger.home.typed_row import typed_row


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("", ()),
        ("   ", ()),
        ("llama-tiny", ("run", "llama-tiny")),
        ("a/b", ("run", "a/b")),
        ("some run.npz", ("open", "some run.npz")),
        ("'some run.npz'", ("open", "some run.npz")),
        ("some\\ run.npz ", ("open", "some run.npz")),
        ("file:///tmp/some%20run.npz", ("open", "/tmp/some run.npz")),
        ("x.safetensors", ("open", "x.safetensors")),
        ("it's.gguf", ("run", "it's.gguf")),
        ("$ tracetui run llama-tiny -p 'hi there'", ("run", "llama-tiny", "-p", "hi there")),
        ("open run.npz --fresh", ("open", "run.npz", "--fresh")),
        ("tracetui tour", ("tour",)),
    ],
)
def test_a_line_is_read_as_a_shell_or_a_drop_on_the_terminal_gives_it(
    line: str, command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed_command(line) == command


def test_weights_beside_a_configuration_are_a_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert typed_command(str(tmp_path / "model.safetensors"))[0] == "run"


def test_while_typing_it_is_told_what_would_open_or_why_nothing_would(tmp_path: Path) -> None:
    np.savez(tmp_path / "dump.npz", x=np.ones(2))
    assert typed_row("llama-tiny").about == "A Llama small enough to run at once"
    assert typed_row(str(tmp_path / "dump.npz")).about == "named tensors"
    assert typed_row("mine.py:build").command == ("run", "mine.py:build")
    for line, problem in (("nosuch", "no such model"), ("no.npz", "there is no such file"), (str(tmp_path), "config")):
        row = typed_row(line)
        assert problem in row.about
        assert row.alarm
        assert not row.command

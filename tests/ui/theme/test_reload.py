"""A theme file is read again while it is edited; a wrong edit is told and changes nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from textual.color import Color

from tests.ui.driving import Driven, driven
from tracetui.ui.theme import reload
from tracetui.ui.theme.file import ThemeFile
from tracetui.ui.theme.reload import ThemeFolder, ThemeReload

GOOD = 'name = "mine"\nprimary = "#7fb0e0"\nbackground = "{}"\n'


def write(path: Path, text: str, age: float = 1.0) -> None:
    """As somebody wrote it a while ago."""
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))


def test_what_changed_is_read_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    write(path, GOOD.format("#101010"), 9)
    folder = ThemeFolder(tmp_path)
    assert folder.changes() == []
    write(path, GOOD.format("#202020"), 8)
    (change,) = folder.changes()
    assert isinstance(change, ThemeFile)
    assert change.theme.background == "#202020"
    write(path, GOOD.format("#20"), 7)
    (problem,) = folder.changes()
    assert isinstance(problem, str)
    assert problem.startswith(f"{path}: background: must be an opaque colour")
    assert problem.endswith("the theme stays as it was")
    assert folder.changes() == [], "it is said once"
    write(path, "name = ", 0)
    assert folder.changes() == [], "an editor may still be at it"
    write(path, "name = ", 6)
    assert "is not TOML" in str(folder.changes()[0])
    path.unlink()
    assert folder.changes() == []


async def test_the_theme_in_use_changes_under_the_users_eyes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACETUI_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(reload, "_SECONDS", 60)
    (tmp_path / "themes").mkdir()
    path = tmp_path / "themes" / "mine.toml"
    write(path, GOOD.format("#101010"), 9)
    async with driven(size=(80, 24)) as it:
        it.app.theme = "mine"
        await it.settle()
        watching = ThemeReload(it.app)
        watching.begin()
        await it.settle()
        write(path, GOOD.format("#203040"), 8)
        await looked(it, watching)
        assert it.screen.styles.background == Color.parse("#203040")
        write(path, GOOD.format("nonsense"), 7)
        await looked(it, watching)
        assert it.screen.styles.background == Color.parse("#203040")
        assert "mine.toml: background: must be an opaque colour" in it.log


async def looked(it: Driven, watching: ThemeReload) -> None:
    watching.look()
    await it.settle()
    await it.settle()

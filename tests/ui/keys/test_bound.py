"""Every key has a name under which a user can give it another."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
from textual.dom import DOMNode

import tracetui.ui
from tests.ui.driving import driven
from tracetui import paths
from tracetui.ui.app import TracetuiApp
from tracetui.ui.diff_screen.commands import DIFF_COMMANDS
from tracetui.ui.keys.bound import binding_ids, own_bindings
from tracetui.ui.keys.commands import COMMANDS
from tracetui.ui.panes.modules.pane import ModuleList


def every_class() -> list[type[DOMNode]]:
    found: list[type[DOMNode]] = []
    for module in pkgutil.walk_packages(tracetui.ui.__path__, "tracetui.ui."):
        values = vars(importlib.import_module(module.name)).values()
        classes = [value for value in values if isinstance(value, type) and issubclass(value, DOMNode)]
        found.extend(value for value in classes if value.__module__ == module.name)
    return found


def test_every_binding_has_an_id_that_a_keymap_may_name() -> None:
    classes = every_class()
    assert ModuleList in classes
    bound = [(owner.__name__, binding.key, binding.id) for owner in classes for binding in own_bindings(owner)]
    assert [key for key in bound if not key[2]] == []
    assert {name for _, _, name in bound} <= binding_ids(TracetuiApp)
    assert {command.id for command in COMMANDS} <= binding_ids(TracetuiApp)


async def test_a_key_of_the_panes_can_be_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "config_dir", lambda: tmp_path)
    (tmp_path / "keys.toml").write_text('[keys]\nmove_down = "ctrl+n"\nunfold = "o"\nno_such = "x"\n')
    async with driven() as it:
        assert "keys.no_such: no such command" in it.log
        assert "move_down" not in it.log
        modules = it.screen.query_one(ModuleList)
        await it.press("escape", "1", "ctrl+n")
        assert modules.line == 1
        await it.press("j")
        assert modules.line == 1


def test_no_two_commands_of_a_screen_share_a_key() -> None:
    for commands in (COMMANDS, DIFF_COMMANDS):
        keys = [key for command in commands for key in command.keys.split(",")]
        assert sorted(keys) == sorted(set(keys))

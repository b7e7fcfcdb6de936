"""A tree of tens of thousands of lines isn't made as a whole because one of them is unfolded."""

from __future__ import annotations

import pytest

from tests.ui.tiny_llama import outline
from tracetui.debugger.module_rows import first_open, rows_of
from tracetui.recording.outline import Module
from tracetui.ui.panes.modules import tree_lines
from tracetui.ui.panes.modules.ran import RanModules
from tracetui.ui.panes.modules.tree_lines import TreeLines


def refuse(*_: object) -> list[object]:
    raise AssertionError("all lines are made again")


def make(
    lines: TreeLines, tree: Module, opened: set[str], filtered_by: str = "", matches: tuple[str, ...] = ()
) -> bool:
    return lines.make(tree, opened, RanModules(tree), None, filtered_by, matches)


def test_what_is_unfolded_alone_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    tree, lines = outline(30), TreeLines()
    opened = first_open(tree)
    assert make(lines, tree, opened)
    assert not make(lines, tree, set(opened))
    monkeypatch.setattr(tree_lines, "rows_of", refuse)
    for changed in ({"model.layers.0"}, {"model.layers.0.mlp", "model.layers.1"}, {"model.layers.0"}):
        opened = opened ^ changed
        assert make(lines, tree, opened)
        assert lines.rows == rows_of(tree, opened)
        assert lines.places == {row.path: place for place, row in enumerate(lines.rows)}


def test_what_was_searched_for_or_is_another_tree_is_made_as_a_whole() -> None:
    tree, lines = outline(30), TreeLines()
    opened = first_open(tree)
    make(lines, tree, opened)
    make(lines, tree, opened, "q_proj", ("model.layers.0.self_attn.q_proj",))
    assert [row.path for row in lines.rows][-1] == "model.layers.0.self_attn.q_proj"
    opened = opened ^ {"model.layers.0"}
    make(lines, tree, opened)
    assert lines.rows == rows_of(tree, opened)
    other = outline(3)
    make(lines, other, opened)
    assert lines.rows == rows_of(other, opened)

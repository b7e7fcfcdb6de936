"""The module tree as lines."""

from __future__ import annotations

from tests.ui.tiny_llama import outline
from tracetui.session import Module
from tracetui.ui.outline_rows import ancestors, first_open, paths_of, rows_of


def test_first_the_layers_are_seen_and_nothing_inside_them() -> None:
    tree = outline(30)
    rows = rows_of(tree, first_open(tree))
    assert [row.name for row in rows] == [
        "LlamaForCausalLM",
        "model",
        "embed_tokens",
        "layers",
        "0",
        "1",
        "2–31",
        "norm",
        "rotary_emb",
        "lm_head",
    ]


def test_skipped_neighbours_share_one_line_wherever_they_stand() -> None:
    layers = tuple(Module(f"layers.{i}", "Layer", 1, skipped=i not in (2, 5)) for i in range(8))
    rows = rows_of(Module("", "Net", 8, (), (Module("layers", "ModuleList", 8, (), layers),)), {"", "layers"})
    assert [row.name for row in rows[2:]] == ["0–1", "2", "3–4", "5", "6–7"]
    assert rows[2].kind == "2 layers not asked for, passed through"


def test_opening_everything_shows_every_path_that_is_not_skipped() -> None:
    tree = outline()
    paths = paths_of(tree)
    assert [row.path for row in rows_of(tree, set(paths))] == paths


def test_a_weight_is_a_shape_and_more_are_a_count() -> None:
    tree = outline()
    details = {row.path: row.detail for row in rows_of(tree, set(paths_of(tree)))}
    assert details["model.layers.0.mlp.down_proj"] == "32×48"
    assert details["model.layers.0.mlp"] == "4.608K"
    assert details["model.rotary_emb"] == ""


def test_ancestors() -> None:
    assert ancestors("a.b.c") == {"", "a", "a.b"}
    assert ancestors("") == {""}


def test_no_outline_no_lines() -> None:
    assert rows_of(Module("", "", 0), {""}) == []

"""The module tree as lines."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from tests.ui.tiny_llama import outline
from tracetui.analysis.checkpoint import span
from tracetui.debugger.module_rows import (
    NONE_HIT,
    Hit,
    ModuleRow,
    ancestors,
    expert_lists,
    first_open,
    layouts_of,
    modules_by_path,
    paths_of,
    rows_again,
    rows_of,
)
from tracetui.debugger.session import Module
from tracetui.ui.panes.modules.line import fitted, totals

EXPERTS = "layers.3.mlp.experts"


def experts(count: int, chosen: int) -> Module:
    """A list of experts, folded into one line."""
    at = f"{EXPERTS}.{span(range(count))}"
    up = Module(f"{at}.up_proj", "", 6, (("weight", (2, 3)),), elsewhere=(("deepseek", "ffn.experts.N.w3"),))
    every = Module(at, "", 6 * count, (), (up,), indices=tuple(range(count)), active=6 * chosen)
    return Module(EXPERTS, "Experts", 6 * count, (), (every,), active=6 * chosen)


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
        "2–31  30 × not run",
        "norm",
        "rotary_emb",
        "lm_head",
    ]


def test_layers_that_are_not_run_open_like_one_of_them() -> None:
    tree = outline(3)
    path = "model.layers.2–4"
    rows = rows_of(tree, {*first_open(tree), path, f"{path}.mlp"})
    found = {row.path: row for row in rows}
    layer = found["model.layers.1"]
    assert found[path].parameters == 3 * layer.parameters
    assert found[path].folded
    assert not layer.folded
    assert found[f"{path}.mlp.down_proj"].detail == "32×48"
    assert not any(path in known for known in paths_of(tree))


def test_experts_that_were_hit_stand_alone_and_the_others_are_folded_around_them() -> None:
    tree = experts(8, 2)
    assert [(row.name, row.parameters) for row in rows_of(tree, {EXPERTS})] == [("experts", 48), ("0–7: 8 ×", 48)]
    opened = {EXPERTS, f"{EXPERTS}.5", f"{EXPERTS}.3–4"}
    rows = rows_of(tree, opened, {EXPERTS: {2, 5}})
    assert [(row.path.removeprefix(f"{EXPERTS}."), row.parameters, row.folded) for row in rows[1:]] == [
        ("0–1", 12, True),
        ("2", 6, False),
        ("3–4", 12, True),
        ("3–4.up_proj", 6, False),
        ("5", 6, False),
        ("5.up_proj", 6, False),
        ("6–7", 12, True),
    ]
    assert sum(row.parameters for row in rows[1:] if row.depth == 1) == tree.parameters


@pytest.mark.parametrize("hit", [set(range(8)), {0}, {7}, set()])
def test_every_expert_stands_on_one_line_whichever_are_hit(hit: set[int]) -> None:
    """Also where all are hit, or one at an end."""
    rows = rows_of(experts(8, 2), {EXPERTS}, {EXPERTS: hit})[1:]
    assert {row.path for row in rows if not row.folded} == {f"{EXPERTS}.{index}" for index in hit}
    assert sum(row.parameters for row in rows) == 48


def test_where_experts_are_folded() -> None:
    assert expert_lists(experts(8, 2)) == {EXPERTS}
    assert expert_lists(replace(outline(5), children=(*outline(5).children, experts(4, 2)))) == {EXPERTS}
    assert expert_lists(outline(5)) == frozenset()


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


def test_a_line_says_as_much_as_there_is_room_for() -> None:
    row = ModuleRow("layers.3.mlp", 2, "mlp", "MoE", (), 11_320_164_352, 398_196_736, opens=True)
    assert fitted(row, 70, "") == (("  ▸ mlp", "  MoE"), "398,196,736 of  11,320,164,352")
    assert fitted(row, 40, "") == (("  ▸ mlp", "  MoE"), "398.2M of 11.32B active")
    assert fitted(row, 34, "") == (("  ▸ mlp", ""), "398.2M of 11.32B active")
    assert fitted(row, 28, "") == (("  ▸ mlp", "  MoE"), "398.2M active")
    assert fitted(row, 16, "") == (("  ▸ mlp", ""), "11.32B")
    assert fitted(row, 5, "") == (("  ▸ …", ""), "")


def test_another_name_stands_before_the_shape() -> None:
    rows = rows_of(experts(8, 2), {EXPERTS, f"{EXPERTS}.0–7"})
    assert layouts_of(experts(8, 2)) == ["deepseek"]
    assert fitted(rows[2], 40, "deepseek")[1] == "→ ffn.experts.N.w3"
    assert fitted(rows[2], 40, "meta")[1] == "2×3"
    assert fitted(rows[2], 70, "deepseek")[1].split() == ["→", "ffn.experts.N.w3", "2×3"]
    same = ModuleRow("a.layers.0.q_proj", 0, "q_proj", "Linear", elsewhere={"hf": "q_proj"})
    assert fitted(same, 40, "hf")[1] == "→ the same"
    assert fitted(replace(same, path="lm_head", elsewhere={"hf": "head"}), 40, "hf")[1] == "→ head"


def test_totals_are_exact_where_there_is_room() -> None:
    assert totals(671_026_404_352, None, 30) == "671,026,404,352 parameters"
    assert totals(671_026_404_352, 37_552_282_624, 25) == "37.55B of 671B active"
    assert totals(671_026_404_352, 37_552_282_624, 5) == ""
    assert totals(0, None, 30) == ""


def test_ancestors() -> None:
    assert ancestors("a.b.c") == {"", "a", "a.b"}
    assert ancestors("") == {""}


def test_no_outline_no_lines() -> None:
    assert rows_of(Module("", "", 0), {""}) == []


def mixture() -> Module:
    """Two layers of experts, and one more."""
    layers = [
        Module(f"layers.{layer}", "Layer", 8, (), (Module(f"layers.{layer}.mlp", "Mlp", 8, (), (experts(8, 2),)),))
        for layer in (3, 4)
    ]
    return Module("", "Model", 8, (), (Module("layers", "ModuleList", 8, (), tuple(layers)),))


@pytest.mark.parametrize("hit", [NONE_HIT, {EXPERTS: {2, 5}}])
def test_what_was_folded_or_unfolded_alone_is_made_again(hit: Hit) -> None:
    tree = outline(30)
    for root in (tree, replace(tree, children=(*tree.children, *mixture().children))):
        modules, opened, random = modules_by_path(root), first_open(root), Random(7)
        rows = rows_of(root, opened, hit)
        for _ in range(60):
            paths = [row.path for row in rows if row.opens]
            changed = set(random.sample(paths, min(len(paths), random.randint(1, 3))))
            opened = opened ^ changed
            places = {row.path: place for place, row in enumerate(rows)}
            again = rows_again(rows, places, modules, changed, opened, hit)
            expected = rows_of(root, opened, hit)
            assert again == expected or (again is None and any(path not in modules for path in changed))
            rows = expected


def test_lines_of_single_experts_are_made_anew() -> None:
    root, hit = mixture(), {EXPERTS: {2}}
    opened = {path for path, module in modules_by_path(root).items() if module.children}
    rows = rows_of(root, opened, hit)
    places = {row.path: place for place, row in enumerate(rows)}
    assert f"{EXPERTS}.2" in places
    assert rows_again(rows, places, modules_by_path(root), {f"{EXPERTS}.2"}, opened, hit) is None

"""Pane 1 over a model with experts: folded, then one by one as they are hit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.ui.driving import Driven, driven
from tests.ui.fake import FakeSession
from tracetui.analysis.module_numbers import SortBy
from tracetui.debugger.session import Module
from tracetui.recording.record import Record
from tracetui.ui.panes.modules.pane import ModuleList

BLOCK = "model.layers.0.mlp"
HIT = {f"{BLOCK}.gate_proj": f"{BLOCK}.experts.2", f"{BLOCK}.up_proj": f"{BLOCK}.experts.5"}


def outline() -> Module:
    at = f"{BLOCK}.experts.0–7"
    up = Module(f"{at}.up_proj", "", 6, (("weight", (2, 3)),), elsewhere=(("deepseek", "ffn.experts.N.w3"),))
    every = Module(at, "", 48, (), (up,), indices=tuple(range(8)), active=12)
    experts = Module(f"{BLOCK}.experts", "Experts", 48, (), (every,), active=12)
    return Module("", "Net", 48, (), (Module(BLOCK, "MoE", 48, (), (experts,), active=12),), active=12)


def hitting(session: FakeSession) -> None:
    def rename(record: Record) -> Record:
        return replace(record, site=HIT.get(record.site, record.site))

    session.rename = rename


def names(it: Driven) -> list[str]:
    return [row.name for row in it.screen.query_one(ModuleList)._rows]


async def test_experts_come_out_of_the_fold_when_they_are_hit() -> None:
    async with driven(outline=outline(), prepare=hitting) as it:
        assert names(it) == ["Net", "mlp"]
        assert "12 of 48 active" in it.line(2)
        await it.press("enter", "c", "/", *"experts", "enter", "l")
        assert names(it) == ["Net", "mlp", "experts", "0–1: 2 ×", "2", "3–4: 2 ×", "5", "6–7: 2 ×"]
        await it.press("j", "enter")
        assert it.site == "logits"
        await it.press("j", "enter")
        assert it.site == f"{BLOCK}.experts.2"
        assert it.screen.query_one(ModuleList).current == f"{BLOCK}.experts.2"


async def test_an_expert_is_found_by_its_number() -> None:
    async with driven(outline=outline(), prepare=hitting) as it:
        await it.press("enter", "c", "/", *"experts.5", "enter", "enter")
        assert it.site == f"{BLOCK}.experts.5"


async def test_a_new_run_folds_what_it_has_not_hit_yet() -> None:
    async with driven(outline=outline(), prepare=hitting) as it:
        await it.press("enter", "c", "/", *"experts", "enter", "l")
        assert "2" in names(it)
        await it.press("r", "enter")
        assert names(it)[3:] == ["0–7: 8 ×"]


async def test_other_names_come_and_go() -> None:
    async with driven(outline=outline()) as it:
        await it.press("escape", "1", "j", "l", "j", "l", "j", "l", "N")
        assert "→ DeepSeek's names" in it.text()
        assert "→ ffn.experts.N.w3" in it.text()
        await it.press("N")
        assert "ffn" not in it.text()


@pytest.mark.parametrize("size", [(80, 24), (180, 50)])
async def test_a_bar_stands_before_the_title_of_the_one_pane_with_the_keys(size: tuple[int, int]) -> None:
    """Seen without any colour."""
    async with driven(size=size) as it:
        assert "▌" not in it.line(2)
        for key, title in (("1", "1 Modules"), ("2", "2 Tensor"), ("3", "3 Attention")):
            await it.press("escape", key)
            assert f"▌{title}" in it.line(2)
            assert it.line(2).count("▌") == 1
        assert ("━" in it.line(2)) is (size[0] >= 160)


async def test_the_match_is_seen_while_one_types() -> None:
    async with driven(size=(80, 24)) as it:
        await it.press("enter", "slash", *"1.mlp.d")
        tree = it.screen.query_one(ModuleList)
        assert tree.chosen == "model.layers.1.mlp.down_proj"
        assert not tree.has_focus
        shown = tree.render_line(tree.line - tree.scroll_offset.y)
        assert "down_proj" in shown.text
        assert shown._segments[0].style != tree.render_line(0)._segments[0].style
        await it.press("enter")
        assert tree.chosen == "model.layers.1.mlp.down_proj", "Enter stays on what is seen"
        assert tree.has_focus


def tree(it: Driven) -> list[str]:
    modules = it.top.query_one(ModuleList)
    return [modules.render_line(y).text for y in range(modules.size.height)]


async def test_the_tree_shows_what_the_run_did_and_sorts_by_it() -> None:
    async with driven() as it:
        await it.press("escape", "percent_sign", "Z")
        assert "norm" not in it.line(2), "nothing has run"
        await it.press("r", "enter", "c")
        assert "norm   growth" in it.line(2)
        statistics = it.state.trace.statistics(it.state.trace.records[0])
        assert f"{statistics.l2:.2f}" in next(line for line in tree(it) if "embed_tokens" in line)
        await it.press("Z", "Z")
        assert "▾growth" in it.line(2)
        assert all(line.split()[1].startswith("1") for line in tree(it)[:3])
        ratios = [float(line.partition("×")[2]) for line in tree(it)[:8]]
        assert ratios == sorted(ratios, reverse=True)
        first = it.screen.query_one(ModuleList).chosen
        await it.press("1", "enter")
        assert it.site == first
        await it.press("percent_sign", "percent_sign")
        assert it.screen.query_one(ModuleList).numbers.by is SortBy.TREE, "its own columns, and its own order"
        await it.press("Z", "Z", "Z")
        assert "no module has NaN/Inf" in tree(it)[0]
        await it.pilot.resize_terminal(60, 20)
        assert tree(it)[0].rstrip().endswith("NaN/Inf"), "not cut"
        await it.pilot.resize_terminal(120, 40)
        await it.press("Z", "Z", "percent_sign")
        assert names(it)[0] == "LlamaForCausalLM"
        assert "norm" not in it.line(2)


async def test_a_sorted_tree_is_filtered_too() -> None:
    async with driven() as it:
        await it.press("enter", "c", "Z", "slash", *"down_proj")
        assert [line.split()[1] for line in tree(it) if line.strip()] in (
            ["0.mlp.down_proj", "1.mlp.down_proj"],
            ["1.mlp.down_proj", "0.mlp.down_proj"],
        )
        assert "1 of 2" in it.text()


async def test_esc_leaves_a_search_as_if_there_had_been_none() -> None:
    async with driven(outline=outline(), prepare=hitting) as it:
        await it.press("enter", "c", "escape", "1", "g")
        tree = it.screen.query_one(ModuleList)
        before = tree.chosen
        await it.press("slash", "m", "l", "p")
        assert tree.chosen == BLOCK != before
        await it.press("escape")
        assert (tree.chosen, it.screen.focused) == (before, tree)

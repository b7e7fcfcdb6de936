"""All heads at once: small pictures of a layer, one cell for each head of all layers, and the way back to one."""

from __future__ import annotations

import numpy as np

from tests.ui.driving import driven
from tests.ui.panes.test_attention_pane import finished
from tests.ui.tiny_llama import LAYERS, H
from tracetui.ui.panes.attention.head_wall import HeadMap, HeadWall
from tracetui.ui.panes.attention.pane import AttentionPane


async def test_the_wall_shows_every_head_and_enter_opens_the_one_picked() -> None:
    async with finished() as it:
        await it.press("H")
        wall = it.screen.query_one(HeadWall)
        assert wall.has_focus
        text = it.text()
        assert f"{H} heads by number" in text
        assert "measured" not in text
        await it.press("right", "right")
        assert it.state.head == 2
        assert "head 2  entropy" in it.text()
        await it.press("f")
        numbers = [wall._call and wall._call.number(head, "entropy") for head in wall.heads]
        assert numbers == sorted(numbers, key=lambda number: -(number or 0))
        assert it.state.head == 2, "ordering picks no other"
        await it.press("enter")
        pane = it.screen.query_one(AttentionPane)
        assert (pane.view, it.screen.query_one("#heatmap").has_focus) == ("head", True)
        assert f"head 2 of 0–{H - 1}" in it.text()


async def test_a_click_picks_a_head_and_a_second_one_opens_it() -> None:
    async with finished() as it:
        await it.press("H")
        wall = it.screen.query_one(HeadWall)
        assert wall._wall.columns > 1
        place = 1 % wall._wall.columns
        offset = (1 + place * (wall._wall.side + 1) + 1, 3)
        await it.pilot.click(HeadWall, offset=offset)
        await it.settle()
        assert it.state.head == 1
        await it.pilot.click(HeadWall, offset=offset)
        await it.settle()
        assert it.screen.query_one(AttentionPane).view == "head"


async def test_layers_by_heads_take_the_debugger_along() -> None:
    async with finished() as it:
        await it.press("H", "H")
        heads = it.screen.query_one(HeadMap)
        assert heads.data.values.shape == (LAYERS, H)
        assert np.isfinite(heads.data.values).all()
        assert "heads by entropy in bits" in it.text()
        await it.press("up", "right")
        assert (it.state.record.layer, it.state.head) == (0, 1)
        await it.press("f")
        assert "heads by share of the first token" in it.text()
        await it.press("enter")
        assert "model.layers.0.self_attn · head 1" in it.text()


async def test_escape_leads_back_to_one_head_and_the_map_fills_while_the_model_runs() -> None:
    async with driven() as it:
        await it.press("enter", "3", "H", "H")
        assert "No attention yet" in it.text()
        while it.state.record.site != "model.layers.0":
            await it.press("n")
        heads = it.screen.query_one(HeadMap)
        assert heads.data.values.shape == (1, H)
        await it.press("c")
        assert heads.data.values.shape == (LAYERS, H)
        await it.press("escape")
        assert it.screen.query_one(AttentionPane).view == "head"

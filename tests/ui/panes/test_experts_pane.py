"""Pane 4 over made-up models: it fills while stepping, and tells where a token went and whether it was close."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests import tiny_moe
from tests.tiny_moe import DEEPSEEK, QWEN, Family
from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER, FakeSession
from tests.ui.tiny_llama import PROMPT, tokens_of
from tracetui.analysis.experts.routing import routing
from tracetui.debugger.readings.experts import Experts
from tracetui.recipe import texts
from tracetui.recording.value import ArrayValue
from tracetui.ui.panes.experts.pane import ExpertsPane, LoadMap
from tracetui.ui.reader import Reply

WIDE = Family(layers=4, experts=64, active=8, groups=8, groups_kept=4)


@asynccontextmanager
async def routed(family: Family = DEEPSEEK, size: tuple[int, int] = (120, 40), rows: int = 1) -> AsyncIterator[Driven]:
    def prepare(session: FakeSession) -> None:
        session.empty = lambda *prompts: tiny_moe.empty_recorder(family, tuple(map(tokens_of, prompts)))
        session.forward = lambda recorder: tiny_moe.forward(recorder, family)

    offer = replace(OFFER, prompts=texts(*(PROMPT,) * rows))
    async with driven(size=size, offer=offer, outline=tiny_moe.outline(family), prepare=prepare) as it:
        yield it


def words(it: Driven) -> str:
    return " ".join(it.text().split())


async def test_a_model_without_experts_says_so() -> None:
    async with driven() as it:
        await it.press("enter", "4")
        assert it.screen.front == "experts"
        assert "No experts here: every token goes through the same weights." in words(it)


async def test_it_fills_as_records_arrive() -> None:
    async with routed() as it:
        await it.press("enter", "4")
        assert "No routing yet." in words(it)
        for _ in range(40):
            if it.site == "model.layers.1.mlp:experts":
                break
            await it.press("s")
        assert "token 16 “·”" in it.text()
        assert "sum not checked: the output is not recorded yet" in it.text()
        assert "shared not recorded yet" in it.text()
        assert "layer 1 → expert" in it.text()
        assert it.screen.query_one(LoadMap).data.rows.length == 1
        await it.press("u", "u")
        assert "weighted sum + shared = output: max |Δ|" in it.text()
        await it.press("c")
        assert it.screen.query_one(LoadMap).data.rows.length == 2
        assert "model.layers.2.mlp" in it.text()


async def test_the_table_has_the_numbers_of_the_trace() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", *"<<<")
        found = routing(it.state.trace, 2)
        assert it.state.token == 14
        assert found.weights is not None
        order = np.argsort(-found.weights[14])
        lines = it.text().splitlines()
        head = next(place for place, line in enumerate(lines) if " expert group  weight" in line)
        for place, slot in enumerate(order):
            row = lines[head + 1 + place][36:].replace("▸", " ").split()
            expert = int(found.experts[14, slot])
            assert row[:3] == [str(expert), str(expert // 4), f"{found.weights[14, slot]:.4f}"]


async def test_layers_tokens_and_experts_are_chosen_by_keys() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", "{")
        assert it.site == "model.layers.1.mlp:experts"
        assert "layer 1 → expert" in it.text()
        await it.press("{")
        assert "no earlier layer has this place" in it.text(), "before the first block the step is the usual one"
        await it.press("}", "}")
        assert it.site == "model.layers.2.mlp:experts"
        assert "this is the last layer" in it.text(), "and after the last one too"
        await it.press("]")
        assert "choice 2 of 4 of token 16" in it.text()
        chosen = routing(it.state.trace, 2)
        assert chosen.weights is not None
        second = int(np.argsort(-chosen.weights[16])[1])
        assert it.screen.query_one(LoadMap).cursor == (1, int(chosen.experts[16, second]))
        await it.press("[", "[")
        assert "choice 1 of 4 of token 16" in it.text()


async def test_the_crosshair_looks_at_another_layer_and_expert() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", "up")
        assert it.site == "logits", "the record under the cursor stays"
        assert "layer 1 → expert" in it.text()
        assert "model.layers.1.mlp" in it.text()
        found = routing(it.state.trace, 1)
        other = next(expert for expert in range(16) if expert not in found.experts[16])
        it.screen.query_one(LoadMap).cursor = (0, other)
        await it.settle()
        assert f"expert {other}  " in it.text()
        assert found.selection is not None
        masked = np.isneginf(found.selection[16, other])
        assert ("not by token 16: its group is masked" if masked else "missed by token 16 by") in it.text()


async def test_enter_goes_to_the_experts_record() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", "enter")
        expert = it.screen.query_one(LoadMap).cursor[1]
        assert it.site == f"model.layers.2.mlp.experts.{expert}"
    async with routed(WIDE) as it:
        await it.press("enter", "c", "4")
        dead = next(e for e in range(64) if e not in it.state.trace["model.layers.3.mlp:experts"])
        it.screen.query_one(LoadMap).cursor = (2, dead)
        await it.press("enter")
        assert it.site == "logits"
        assert any(f"expert {dead} of model.layers.3.mlp has no record" in notice for notice in it.notices)


async def test_a_broken_sum_is_told_in_a_word() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4")
        assert "BROKEN" not in it.text()
        values = it.state.trace.values
        assert isinstance(values, list)
        record = it.state.trace.find("model.layers.1.mlp")
        assert record is not None
        values[record.index] = ArrayValue(values[record.index].read() + 0.25)
        await it.press("{")
        assert "✗ BROKEN weighted sum + shared = output: max |Δ| 0.25 > " in it.text()


async def test_a_tie_and_a_close_choice_are_told() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", "{")
        values = it.state.trace.values
        assert isinstance(values, list)
        record = it.state.trace.find("model.layers.2.mlp:selection_scores")
        assert record is not None
        experts = it.state.trace["model.layers.2.mlp:experts"]
        selection = np.full((17, 16), 0.5, np.float32)
        np.put_along_axis(selection, experts, np.float32(0.503), axis=1)
        selection[3] = 0.5
        values[record.index] = ArrayValue(selection)
        await it.press("}")
        assert "margin 0.0030 (0.6%, close: under 1%) to expert" in it.text()
        it.screen.parts.looks.token(3 - it.state.token)
        await it.settle()
        assert "token 3 “·to”  a tie with expert" in it.text()


async def test_copying_the_line() -> None:
    async with routed(QWEN) as it:
        await it.press("enter", "c", "4")
        await it.press("y")
        found = routing(it.state.trace, 2)
        expert = it.screen.query_one(LoadMap).cursor[1]
        assert it.app.clipboard.startswith(f"model.layers.2.mlp expert {expert} token 16 weight ")
        other = next(e for e in range(16) if e not in found.experts[16])
        it.screen.query_one(LoadMap).cursor = (1, other)
        await it.press("y")
        count = int((found.experts == other).sum())
        assert it.app.clipboard == f"model.layers.2.mlp expert {other} load {count} of 68 choices"


async def test_the_gate_of_a_shared_expert_is_shown() -> None:
    async with routed(QWEN) as it:
        await it.press("enter", "c", "4")
        value = 1 / (1 + np.exp(-float(it.state.trace["model.layers.2.mlp.shared_expert_gate"][16, 0])))
        assert f"of ‖out‖, gate {value:.3f}" in it.text()
        assert "group" not in it.text()


async def test_prompts_of_a_batch() -> None:
    async with routed(rows=2) as it:
        await it.press("enter", "c", "4", ")", "<")
        assert it.state.batch == 1
        assert "token 16 “·”" in it.text()
        pane = it.screen.query_one(ExpertsPane)
        assert pane._shown.routed is not None
        assert pane._shown.routed.choice.prompt == 1


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (180, 50)])
async def test_the_table_is_whole_at_every_size(size: tuple[int, int]) -> None:
    async with routed(WIDE, size=size) as it:
        await it.press("enter", "c", "4")
        assert "token 16" in it.text()
        lines = it.text().splitlines()
        head = next(place for place, line in enumerate(lines) if "expert" in line and "weight" in line)
        assert "▸" in lines[head + 1]
        if size[1] > 16:
            assert all(line.rstrip()[-1].isdigit() for line in lines[head + 1 : head + 9])
        await it.press("z")
        assert "margin  experts: weights" in it.text() or size[1] < 40, "with all room every token is listed"


async def test_all_panes_stand_side_by_side_where_there_is_room() -> None:
    async with routed(WIDE, size=(180, 50)) as it:
        await it.press("enter", "c")
        text = it.text()
        assert all(title in text for title in ("2 Tensor", "3 Attention", "4 Experts", "5 Logits", "6 Log"))
        assert "8 of 64 experts a token, from 4 of 8 groups" in text


async def test_a_run_without_routing_says_so() -> None:
    async with routed(Family(layers=1, dense=1)) as it:
        await it.press("enter", "c", "4")
        assert "This run recorded no routing" in words(it)


async def test_what_was_said_to_one_pane_goes_with_the_next() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", "]")
        assert "choice 2 of 4" in it.text()
        await it.press("2")
        assert "choice 2 of 4" not in it.text()


async def test_an_answer_counts_though_the_run_has_gone_on() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4")
        pane = it.screen.query_one(ExpertsPane)
        late = Experts(pane._shown.loads, trouble="late")
        answer = Reply(pane.show, late, pane._looks_at_now(), pane._looks_at_now)
        pane.set_reactive(ExpertsPane.state, replace(pane.state, frontier=pane.state.frontier - 1))
        answer.hand_over()
        assert pane._shown.trouble == "late"


async def test_a_sum_is_compared_once_for_each_block() -> None:
    async with routed() as it:
        await it.press("enter", "c", "4", "{", "}", "{")
        known = it.screen.query_one(ExpertsPane)._checked
        assert {record.layer for record in known} == {1, 2}


async def test_before_the_first_layer_both_panes_name_the_next() -> None:
    async with routed() as it:
        await it.press("enter", "c", "2", "home", "4")
        assert "No routing at or before this record. Enter goes to the next, in layer 1." in words(it)
        await it.press("enter")
        assert (it.state.record.layer, it.state.record.role) == (1, "experts")
        assert "Enter goes to the next" not in words(it)
        await it.press("2", "end", "4")
        assert re.search(r"\d+ of 68 choices \(\d", it.text())


async def test_a_maximised_map_gets_what_it_can_use() -> None:
    deep = Family(layers=24, experts=16, active=8)
    async with routed(deep, (80, 24)) as it:
        await it.press("enter", "c", "4")
        before = it.screen.query_one(LoadMap).size.height
        await it.press("z")
        assert it.screen.query_one(LoadMap).size.height >= 2 * before

"""Pane 3: what it shows of a call, what it checked, and what it says when there is nothing to show."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from unittest.mock import Mock

import numpy as np
import pytest

from tests.ui import tiny_mla
from tests.ui.driving import Driven, driven
from tests.ui.fake import FakeSession
from tests.ui.tiny_llama import Recorder, empty_recorder
from tests.ui.tiny_mla import SITE, H
from tracetui.analysis.attention.mla import CacheCost
from tracetui.analysis.identity import Identity
from tracetui.analysis.rope.pairs import RopeCheck
from tracetui.debugger.session import Module
from tracetui.recording.record import Record
from tracetui.ui.dialogs.rope import RopeScreen
from tracetui.ui.panes.attention.lines import facts
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.scale import ScaleKind

Pass = Callable[[Recorder], Iterator[Record]]


@asynccontextmanager
async def finished(
    forward: Pass | None = None, size: tuple[int, int] = (120, 40), outline: Module | None = None
) -> AsyncIterator[Driven]:
    """The program at the end of a run, with pane 3 in front."""

    def prepare(session: FakeSession) -> None:
        if forward is not None:
            session.forward = forward

    async with driven(size, outline=outline, prepare=prepare) as it:
        await it.press("enter", "c", "3")
        yield it


async def show(it: Driven, kind: str) -> None:
    await it.screen.run_action(f"command('scores', '{kind}')")
    await it.settle()


async def test_a_call_without_a_latent_has_three_planes_and_its_identity() -> None:
    async with finished() as it:
        text = it.text()
        assert "before mask  masked  probabilities" in text
        assert "latent" not in text
        assert "✓ softmax·V = heads: max |Δ|" in text
        assert "all 4 heads hold" in text
        await it.press("a", "a", "a")
        assert it.screen.query_one(AttentionPane).kind == "probs", "round and back"


@pytest.mark.parametrize(
    ("size", "names"),
    [((120, 40), "naive − absorbed"), ((80, 24), "rope  absorbed  Δ"), ((60, 16), "lat  rope  abs  Δ")],
)
async def test_latent_attention_has_four_more(size: tuple[int, int], names: str) -> None:
    async with finished(tiny_mla.forward, size) as it:
        assert names in it.text()
        trace, heatmap = it.state.trace, it.screen.query_one("#heatmap", Heatmap)
        await show(it, "kv_latent")
        np.testing.assert_array_equal(heatmap.data.values, trace[f"{SITE}:kv_latent"][0])
        text = it.text()
        assert re.search(r"✓ (naive )?vs absorbed(, before the mask)?: (max \|Δ\| )?\d", text)
        # In float32: a latent of 12 and a rotary key of 4; 4 heads of 12 and 6; twice 4 heads of 6.
        for cost in ("64 B", "288 B", "192 B")[: 3 if size[0] >= 80 else 2]:
            assert cost in text
        await show(it, "k_rope")
        np.testing.assert_array_equal(heatmap.data.values, trace[f"{SITE}:k_rope"][0])
        await it.press("]")
        await show(it, "absorbed_scores")
        absorbed = heatmap.data.values
        await show(it, "scores")
        np.testing.assert_allclose(absorbed, heatmap.data.values, atol=1e-5)
        assert f"head 1 of 0–{H - 1}" in it.text()
        await show(it, "difference")
        assert np.abs(heatmap.data.values).max() < 1e-5


async def test_two_ways_that_differ_are_called_broken() -> None:
    async with finished(partial(tiny_mla.forward, wrong_absorbed=True)) as it:
        assert "✓ softmax·V" in it.text()
        await show(it, "difference")
        assert "✗ BROKEN naive vs absorbed" in it.text()


async def test_a_head_that_is_not_what_it_should_be_is_called_broken_wherever_one_looks() -> None:
    async with finished(partial(tiny_mla.forward, wrong_heads=True)) as it:
        assert "✓ softmax·V = heads" in it.text()
        assert "BROKEN in a head" in it.text()
        await it.press("]", "]")
        assert "✗ BROKEN softmax·V = heads" in it.text()
        assert "its attention can't be shown" in it.text()
        assert not it.app.screen.query_one("#heatmap", Heatmap).data.values.size
        await it.press("]")
        assert it.app.screen.query_one("#heatmap", Heatmap).data.values.size


async def test_heads_are_checked_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.ui.panes.attention.ahead.AT_ONCE", 0)
    async with finished() as it:
        assert "heads hold" not in it.text()
        await it.press("i")
        assert "all 4 heads hold" in it.text()


async def test_a_kernel_that_has_not_run_has_no_identity_yet() -> None:
    async with driven() as it:
        await it.press("enter", "3")
        await it.press("i")
        assert "no attention to check" in it.text()
        while it.state.record.role != "heads":
            assert "softmax·V" not in it.text()
            await it.press("s")
        assert "softmax·V" in it.text()


async def test_both_layouts_side_by_side() -> None:
    async with finished(tiny_mla.forward) as it:
        await it.press("R")
        assert isinstance(it.app.screen, RopeScreen)
        text = it.text()
        assert "✗ halves: off by" in text
        assert "✓ adjacent pairs: agrees to" in text
        assert "it is adjacent pairs" in text
        assert "4 of 12 elements" in text
        await it.press("right", "down", "right_square_bracket")
        assert f"head 1 of 0–{H - 1}" in it.text()
        assert [heatmap.cursor for heatmap in it.app.screen.query(Heatmap)] == [(1, 1), (1, 1)]
        await it.press("escape")
        assert not isinstance(it.app.screen, RopeScreen)


@pytest.mark.parametrize(
    ("layout", "provenance", "words"),
    [("meta", "file", "Meta's file"), ("gguf", "dequantised Q4_1", "The GGUF file")],
)
async def test_weights_from_files_of_another_order_have_their_layout_said_unasked(
    layout: str, provenance: str, words: str
) -> None:
    def empty(*prompts: str) -> Recorder:
        recorder = empty_recorder(*prompts)
        run = recorder.trace.run
        run = replace(run, recipe={"layout": layout}, config={**run.config, "model_type": "llama"})
        recorder.trace = replace(recorder.trace, run=run)
        return recorder

    def prepare(session: FakeSession) -> None:
        session.empty = empty
        session.rename = lambda r: replace(r, provenance=provenance) if r.site.endswith("q_proj") else r

    async with driven((180, 50), prepare=prepare) as it:
        await it.press("enter", "c", "3")
        text = it.text()
    assert f"{words}: adjacent pairs, rows permuted" in text
    assert "RoPE: can't be told: no rotary embedding was recorded" in text


def test_on_a_short_screen_a_rotation_that_is_well_takes_no_lines_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    holds, off = Identity(1e-7, 1e-5, holds=True), Identity(3.0, 1e-5, holds=False)
    plane = Mock(latent_kind="", latent=None, ran=True, head=0)
    plane.view = Mock(
        heads=4, kv_heads=4, mask=False, call=Mock(scale=0.5, softcap=0.0, sliding_window=0, kernel="sdpa")
    )
    plane.view.kv_head.return_value = 0
    monkeypatch.setattr("tracetui.analysis.rope.pairs.rows_permuted", lambda view: True)
    monkeypatch.setattr("tracetui.analysis.rope.pairs.rows_source", lambda view: "the GGUF file")
    turned = RopeCheck(plane.view, 0, 0, {}, {"halves": holds, "pairs": off}, 8, 8, True, ())
    checks = Mock(identity=holds, rope=turned)
    assert len(facts(plane, checks, None, 80, short=False).plain.splitlines()) == 4
    words = facts(plane, checks, None, 80, short=True).plain.splitlines()
    assert len(words) == 2
    assert words[1].endswith("· ✓ RoPE halves")
    checks.rope = replace(turned, off={"halves": off, "pairs": off})
    assert "RoPE UNCLEAR" in facts(plane, checks, None, 80, short=True).plain


def test_on_a_short_screen_what_a_cache_costs_has_one_line() -> None:
    plane = Mock(latent_kind="absorbed_scores", latent=None, head=0, cost=CacheCost(81920, 1152, 65536, 61, "bfloat16"))
    plane.view = Mock(heads=4, kv_heads=4, mask=False, call=Mock(scale=0.5, softcap=0.0, sliding_window=0, kernel="x"))
    plane.view.kv_head.return_value = 0
    checks = Mock(identity=Identity(1e-7, 1e-5, holds=True))
    assert len(facts(plane, checks, None, 60, short=False).plain.splitlines()) == 5
    *_, last = words = facts(plane, checks, None, 60, short=True).plain.splitlines()
    assert len(words) == 3
    assert last == " cache absorbed 1.12 KiB · naive 80.00 KiB · MHA 64.00 KiB"
    assert facts(plane, checks, None, 38, short=True).plain.endswith(" cache 1.12 KiB · naive 80.00 KiB")


async def test_a_layout_that_cant_be_told_is_explained() -> None:
    async with finished() as it:
        await it.press("R")
        assert any("can't be told: no rotary embedding was recorded" in notice for notice in it.notices)


async def test_attention_outside_the_interface_is_named() -> None:
    async with finished(tiny_mla.own_attention, outline=tiny_mla.own_outline()) as it:
        assert "BloomAttention computes attention itself" in it.text()
        await it.press("R")
        assert any("RoPE: no attention" in notice for notice in it.notices)


async def test_every_head_is_drawn_on_one_scale_and_x_goes_through_the_others() -> None:
    async with finished() as it:
        heatmap = it.screen.query_one("#heatmap", Heatmap)
        assert "square root" in it.text()
        shown = []
        for _ in range(4):
            scale = heatmap._pyramid().scale
            shown.append((scale.kind, scale.low, scale.high))
            await it.press("x")
        assert shown == [("root", 0, 1), ("linear", 0, 1), ("log", 1e-6, 1), ("rows", 0, 1)]
        await show(it, "scores")
        scales = set()
        for _ in range(4):
            scales.add(heatmap.data.pyramids[ScaleKind.LINEAR].scale)
            await it.press("]")
        assert len(scales) == 1
        assert "linear, all heads" in it.text()


async def test_of_a_large_layer_a_head_is_shown_before_all_heads_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.analysis.attention.reach._QUICK", 0)
    async with finished() as it:
        asked = []
        monkeypatch.setattr("tracetui.ui.panes.attention.reading.reach_of", lambda *arguments: asked.append(arguments))
        await show(it, "scores")
        assert asked
        assert "this head alone" in it.text()
        monkeypatch.undo()
        await show(it, "masked")
        assert "linear, all heads" in it.text()


async def test_both_rope_layouts_have_one_scale() -> None:
    async with finished(tiny_mla.forward) as it:
        await it.press("R")
        one, other = (heatmap._pyramid().scale for heatmap in it.app.screen.query(Heatmap))
        assert one == other
        assert "both layouts" in it.text()
        assert "Halves turn numbers i and i + " in it.text()

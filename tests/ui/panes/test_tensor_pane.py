"""A tensor with one massive activation: its histogram still tells of the rest, and one is led to the element."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.ui.driving import Driven
from tests.ui.massive import CHANNEL, LAYER, massive_trace
from tests.ui.recording import without_values
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import page_of_recording
from tracetui.recording.trace import Trace
from tracetui.ui.app import TracetuiApp
from tracetui.ui.messages import Jump
from tracetui.ui.panes.attention.head_wall import HeadWall
from tracetui.ui.panes.tensor.outlier_map import OutlierMap
from tracetui.ui.panes.tensor.value_grid import ValueGrid
from tracetui.views.tokens import token_label
from tracetui.views.values import figure

SITE = f"model.layers.{LAYER}"


@asynccontextmanager
async def at(site: str, size: tuple[int, int] = (120, 40), trace: Trace | None = None) -> AsyncIterator[Driven]:
    """The recording of a pass with the cursor at a site and the tensor pane in front."""
    shown = trace or massive_trace()
    app = TracetuiApp(lambda listener: RecordedSession(shown, listener), page_of_recording(shown, Path("massive.npz")))
    async with app.run_test(size=size) as pilot:
        it = Driven(app, pilot, [])
        await it.settle()
        record = shown.find(site)
        assert record is not None
        app.screen.post_message(Jump(record.index))
        await it.settle()
        await it.press("2")
        yield it


async def test_the_histogram_tells_of_all_numbers_on_the_scale_that_one_chooses() -> None:
    async with at(SITE, (80, 24)) as it:
        by_decades = it.text()
        assert "symlog" in by_decades
        assert "100" in by_decades
        await it.press("x")
        assert "full" in it.text()
        await it.press("x")
        value = massive_trace().value(massive_trace().records[it.top.state.cursor]).read()
        axis = next(line for line in it.text().splitlines() if "› to " in line)
        count, _, reach = axis.partition("› to ")
        high = float(count.split()[-2])
        assert int(count.split()[-1]) == (value > high).sum()
        assert float(reach) == float(f"{value.max():.5g}")
        await it.press("x")
        assert it.text() == by_decades


async def test_the_choice_of_a_scale_holds_for_other_tensors_that_have_it() -> None:
    async with at(SITE) as it:
        await it.press("x")
        assert " full" in it.text()
        await it.press("p")
        assert " full" in it.text()


async def test_it_is_said_where_the_largest_element_is_and_whose_squares() -> None:
    async with at(SITE) as it:
        value = massive_trace().value(massive_trace().records[it.top.state.cursor]).read().astype(np.float64)
        token = it.top.state.tokens[0]
        place = f"|max| {np.abs(value).max():.5g} at token 0 “{token_label(token)}”, channel {CHANNEL}"
        share = np.square(value[..., CHANNEL]).sum() / np.square(value).sum()
        assert f"{place}, which has {share:.1%} of the squares" in it.text()
        assert "kurt" in it.text()
    async with at(f"{SITE}.self_attn:k") as it:
        assert "at kv head " in it.text() or "at head " in it.text()


async def test_a_key_goes_to_the_largest_element() -> None:
    async with at(f"{SITE}.self_attn.q_proj") as it:
        await it.press("M")
        record = it.top.state.record
        value = massive_trace().value(record).read()  # [B,T,H·K]
        grid = it.top.query_one(ValueGrid)
        assert grid.value == value.flat[np.abs(value).argmax()]
        head, column = divmod(int(np.abs(value).argmax()) % value.shape[-1], 8)
        assert (it.top.state.head, grid.cell[1]) == (head, column)
        assert "the largest element: [0, " in it.text()
        await it.press("x")
        assert grid.value == value.flat[np.abs(value).argmax()]


async def test_keys_of_every_pane_are_heard_in_the_table_too() -> None:
    async with at(SITE) as it:
        assert it.top.query_one(ValueGrid).has_focus
        await it.press("L")
        assert any("told of no pixels" in notice for notice in it.notices)
        await it.press("H")
        assert it.top.query_one(HeadWall).display


async def test_without_values_there_is_no_largest_element_to_go_to() -> None:
    async with at(SITE, trace=without_values(massive_trace())) as it:
        await it.press("M")
        assert "the values of this tensor were not kept" in it.text()
        assert "kurt  –" in it.text()
        await it.press("O")
        assert "The values of this tensor were not kept" in it.text()
        await it.press("x", "O")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_map_shows_tokens_by_channels_and_its_crosshair_tells_them(size: tuple[int, int]) -> None:
    async with at(SITE, size) as it:
        await it.press("O")
        outliers = it.top.query_one(OutlierMap)
        assert outliers.has_focus
        values = massive_trace().value(it.top.state.record).read()[0]
        assert (outliers.data.values == values).all()
        assert "log" in it.text()
        await it.press("M")
        assert outliers.cursor == it.top.query_one(ValueGrid).cell == (0, CHANNEL)
        assert f"channel {CHANNEL}  {values[0, CHANNEL]:.4g}" in it.text()
        await it.press("down")
        assert it.top.state.token == outliers.cursor[0] > 0
        await it.press("x")
        assert "linear, " in it.text()
        assert " beyond" in it.text()
        await it.press("O")
        assert it.top.query_one(ValueGrid).has_focus
        assert it.top.query_one(ValueGrid).cell == outliers.cursor
        assert not outliers.data.values.size


async def test_the_map_follows_the_cursor_to_another_record_and_head() -> None:
    async with at(SITE) as it:
        await it.press("O", "p")
        outliers, state = it.top.query_one(OutlierMap), it.top.state
        assert (outliers.data.values == massive_trace().value(state.record).read()[0]).all()
        assert state.record.site != SITE
    async with at(f"{SITE}.self_attn:q") as it:
        await it.press("O", "right_square_bracket")
        values = massive_trace().value(it.top.state.record).read()
        assert (it.top.query_one(OutlierMap).data.values == values[0, 1]).all()


async def test_each_token_has_its_norm_and_the_massive_one_stands_out() -> None:
    async with at("model.layers.2") as it:
        values = massive_trace()["model.layers.2"][0].astype(np.float64)
        massive = figure(float(np.linalg.norm(values[0])), 8)
        assert sum(line.rstrip().endswith(massive) for line in it.text().splitlines()) == 1
        assert figure(float(np.linalg.norm(values[1])), 8).strip() in it.text()
        await it.press("g", "G")
        assert figure(float(np.linalg.norm(values[-1])), 8).strip() in it.text()


async def test_the_row_of_the_token_that_is_looked_at_is_gone_to() -> None:
    async with at("model.layers.2") as it:
        await it.press(">", ">", ">")
        grid = it.top.query_one(ValueGrid)
        assert grid.cell[0] == it.top.state.token > 0
        await it.press("<")
        assert grid.cell[0] == it.top.state.token

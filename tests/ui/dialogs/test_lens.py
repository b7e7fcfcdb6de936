"""`P`: layers by tokens, each cell with what would come next there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tracer.recipes import recipe
from tests.ui.driving import driven
from tracetui.analysis.lens import joined_lens, lens_table
from tracetui.debugger.recorded_session import RecordedSession
from tracetui.debugger.start_page import page_of_recording
from tracetui.recipe import Generation, texts
from tracetui.recording.trace import Trace
from tracetui.text import token_text
from tracetui.tracer.run import trace_recipe
from tracetui.ui.app import TracetuiApp
from tracetui.ui.dialogs.lens import LensGrid, LensScreen


@pytest.fixture(scope="module")
def trace() -> Trace:
    return trace_recipe(recipe(lens=3, generation=Generation(2, stop=()), prompts=texts("the answer", "the question")))


def test_the_table_is_what_was_recorded_and_has_no_padding(trace: Trace) -> None:
    table = lens_table(trace, 0, 1)
    assert table is not None
    assert table.layers == (0, 1, 2)
    assert list(table.positions) == list(range(trace.prompt_lengths[1]))
    for layer in table.layers:
        assert (table.ids[layer] == trace[f"model.layers.{layer}:lens_ids"][1]).all()
        assert (table.probs[layer] == trace[f"model.layers.{layer}:lens_probs"][1]).all()
    later = lens_table(trace, 1)
    assert later is not None
    assert later.positions == range(trace.prompt_lengths[0], trace.prompt_lengths[0] + 1)
    assert lens_table(trace, 7) is None
    shorter = replace(trace, tokens=tuple(row[:2] for row in trace.tokens), generated=())
    cut = lens_table(shorter, 0)
    assert cut is not None
    assert cut.ids.shape == (3, 2, 3)


def test_all_passes_of_a_generation_stand_beside_one_another(trace: Trace) -> None:
    first, later, joined = lens_table(trace, 0), lens_table(trace, 1), joined_lens(trace)
    assert first is not None
    assert later is not None
    assert joined is not None
    assert joined.positions == range(first.positions.start, later.positions.stop)
    assert (joined.ids[:, : len(first.positions)] == first.ids).all()
    assert (joined.probs[:, len(first.positions) :] == later.probs).all()


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_grid_names_its_cells_and_the_one_with_the_cursor_in_words(
    trace: Trace, size: tuple[int, int]
) -> None:
    offer = page_of_recording(trace, Path("t.npz"))
    app = TracetuiApp(lambda listener: RecordedSession(trace, listener), offer)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("n", "P")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(app.screen, LensScreen)
        grid = app.screen.query_one(LensGrid)
        last = trace.prompt_lengths[0] - 1
        assert grid.cell == (0, last)
        text = "\n".join("".join(part.text for part in row) for row in app.screen._compositor.render_strips())
        best = trace.token(int(trace["model.layers.2:lens_ids"][0, last, 0]))
        assert f"after layer 2 at token {last} “" in text
        assert (token_text(best.bytes) or f"#{best.id}") in text
        await pilot.press("down", "left")
        assert grid.cell == (1, last - 1)
        text = "\n".join("".join(part.text for part in row) for row in app.screen._compositor.render_strips())
        assert f"after layer 1 at token {last - 1} “" in text


async def test_without_a_lens_it_is_said_how_to_get_one() -> None:
    async with driven() as app:
        await app.press("enter", "P")
        assert any("no lens here: a run that was started with --lens" in notice for notice in app.notices)

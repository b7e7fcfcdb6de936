"""The heatmap under a user's hands: keys, mouse, size, theme, and data that come and go."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rich.style import Style
from textual import on
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.depth import Depth
from tracetui.views.heatmap.matrix import EMPTY, HeatmapData, heatmap_data, nothing
from tracetui.views.heatmap.scale import ScaleKind
from tracetui.views.palette import PALETTES, Palette


class HeatmapApp(App[None]):
    """A heatmap alone, and what it said."""

    def __init__(self, data: HeatmapData) -> None:
        super().__init__()
        self.heatmap = Heatmap(data)
        self.moves: list[tuple[int, int, float]] = []

    def compose(self) -> ComposeResult:
        yield self.heatmap

    def on_mount(self) -> None:
        self.heatmap.focus()

    @on(Heatmap.CursorMoved)
    def moved(self, event: Heatmap.CursorMoved) -> None:
        self.moves.append((event.row, event.column, event.value))


@asynccontextmanager
async def running(
    data: HeatmapData, size: tuple[int, int] = (80, 24), depth: Depth = Depth.TRUE
) -> AsyncIterator[tuple[HeatmapApp, Pilot[None]]]:
    app = HeatmapApp(data)
    async with app.run_test(size=size) as pilot:
        # Whatever terminal the tests run in.
        app.heatmap.depth = depth
        await pilot.pause()
        yield app, pilot


def screen(app: HeatmapApp) -> list[str]:
    """The widget's lines, each checked for its width."""
    strips = [app.heatmap.render_line(y) for y in range(app.heatmap.size.height)]
    assert [strip.cell_length for strip in strips] == [app.heatmap.size.width] * len(strips)
    assert all(sum(segment.cell_length for segment in strip) == strip.cell_length for strip in strips)
    return [strip.text for strip in strips]


def causal(side: int, kinds: tuple[ScaleKind, ...] = (ScaleKind.LINEAR,), diverging: bool = False) -> HeatmapData:
    """Attention as it is: rows that sum to 1, no key after its query."""
    scores = np.random.default_rng(side).normal(size=(side, side)).astype(np.float32)
    scores[np.triu_indices(side, 1)] = -np.inf
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    values = np.where(np.isneginf(scores), scores, scores if diverging else probabilities)
    words = [f"·w{index}" for index in range(side)]
    return plain(values, words, kinds, diverging)


def plain(
    values: npt.NDArray[np.float32],
    words: list[str] | None = None,
    kinds: tuple[ScaleKind, ...] = (ScaleKind.LINEAR,),
    diverging: bool = False,
) -> HeatmapData:
    rows, columns = values.shape
    query, key = LabelledAxis.of("query", rows, words or ()), LabelledAxis.of("key", columns, words or ())
    return heatmap_data(values, query, key, diverging=diverging, kinds=kinds, title="layer 0 · head 3")


async def test_the_crosshair_moves_and_says_where_it_is() -> None:
    data = causal(17)
    async with running(data) as (app, pilot):
        await pilot.press("right", "down", "l", "j", "left", "k")
        assert app.heatmap.cursor == (1, 1)
        assert app.moves[-1] == (1, 1, data.value(1, 1))
        assert screen(app)[-1].startswith("query 1 “·w1” → key 1 “·w1”  ")
        await pilot.press("end", "up")
        assert app.heatmap.cursor == (0, 16)
        assert screen(app)[-1].rstrip().endswith("masked")
        await pilot.press("home", "up", "left")
        assert app.heatmap.cursor == (0, 0)


async def test_zoomed_out_the_crosshair_lands_on_what_is_seen() -> None:
    values = np.zeros((512, 512), np.float32)
    values[5, 43] = 1
    async with running(plain(values)) as (app, pilot):
        while app.heatmap.cursor[1] < 40:
            await pilot.press("right")
        await pilot.pause()
        assert app.heatmap.cursor == (5, 43)
        assert app.moves[-1] == (5, 43, 1.0)


async def test_zooming_keeps_the_crosshair_and_its_sight() -> None:
    async with running(causal(200)) as (app, pilot):
        app.heatmap.cursor = (150, 100)
        for key in ("plus", "plus", "plus", "plus", "equals_sign", "minus"):
            await pilot.press(key)
            assert app.heatmap.cursor == (150, 100)
            assert "query 150 “·w150” → key 100 “·w100”" in screen(app)[-1]
            assert any("·w150▸" in line for line in screen(app))
        assert app.heatmap.zoom is not None
        await pilot.press("0")
        assert app.heatmap.zoom is None


async def test_zoom_ends_where_the_matrix_fits_and_where_a_cell_is_large() -> None:
    async with running(causal(200), (60, 20)) as (app, pilot):
        for key, keys in (("plus", 14), ("minus", 24)):
            for _ in range(keys):
                app.heatmap.action_magnify(1 if key == "plus" else -1)
            reached = app.heatmap.zoom
            await pilot.press(key)
            assert app.heatmap.zoom == reached
            screen(app)


async def test_a_cell_beyond_the_edge_is_brought_into_sight() -> None:
    async with running(causal(100), (40, 14)) as (app, pilot):
        await pilot.press("0", "plus", "plus", "plus", "plus")
        before = screen(app)
        for _ in range(30):
            app.heatmap.action_move(1, 0)
        assert app.heatmap.cursor == (30, 0)
        after = screen(app)
        assert any("·w30▸" in line for line in after)
        assert after != before


async def test_a_resize_keeps_the_crosshair() -> None:
    async with running(causal(17), (120, 40)) as (app, pilot):
        app.heatmap.cursor = (11, 5)
        for size in ((80, 24), (40, 12), (10, 4), (120, 40), (23, 7)):
            await pilot.resize_terminal(*size)
            while app.heatmap.size != size:
                # Layout follows a timer of its own, which a busy machine lets wait.
                await pilot.pause()
            assert app.heatmap.cursor == (11, 5)
            screen(app)


@pytest.mark.parametrize(
    "values",
    [
        np.ones((1, 1), np.float32),
        np.ones((1, 300), np.float32),
        np.ones((300, 1), np.float32),
        np.full((6, 6), -np.inf, np.float32),
        np.full((6, 6), np.nan, np.float32),
        np.full((2, 2), np.inf, np.float32),
    ],
    ids=["1x1", "row", "column", "masked", "nan", "inf"],
)
@pytest.mark.parametrize("size", [(10, 4), (80, 24)])
async def test_odd_matrices_can_be_walked_over(values: npt.NDArray[np.float32], size: tuple[int, int]) -> None:
    async with running(plain(values, kinds=(ScaleKind.LINEAR, ScaleKind.LOG)), size) as (app, pilot):
        for key in ("right", "down", "end", "plus", "x", "m", "0"):
            await pilot.press(key)
            screen(app)


@pytest.mark.parametrize("data", [EMPTY, nothing("bloom keeps its own [attention]")], ids=["empty", "notice"])
async def test_without_a_matrix_it_says_so_and_no_key_hurts(data: HeatmapData) -> None:
    async with running(data) as (app, pilot):
        for key in ("right", "end", "plus", "0", "m", "x"):
            await pilot.press(key)
        await pilot.click(Heatmap, offset=(5, 5))
        assert any(data.notice in line for line in screen(app))
        assert app.moves == []


async def test_other_data_of_the_same_size_keep_the_cell_and_the_zoom() -> None:
    async with running(causal(40)) as (app, pilot):
        await pilot.press("plus", "right", "down")
        cell, zoom = app.heatmap.cursor, app.heatmap.zoom
        app.heatmap.show(causal(40, diverging=True))
        await pilot.pause()
        assert (app.heatmap.cursor, app.heatmap.zoom) == (cell, zoom)
        app.heatmap.show(EMPTY)
        app.heatmap.show(causal(40))
        assert app.heatmap.cursor == cell
        app.heatmap.show(plain(np.eye(1, dtype=np.float32)))
        assert app.heatmap.cursor == (0, 0)
        screen(app)
        app.heatmap.show(EMPTY)
        assert any(EMPTY.notice in line for line in screen(app))


async def test_the_cell_can_be_chosen_before_there_is_a_screen() -> None:
    app = HeatmapApp(causal(40))
    app.heatmap.cursor = (30, 20)
    async with app.run_test(size=(80, 24)):
        assert screen(app)[-1].startswith("query 30 “·w30” → key 20 “·w20”")


async def test_a_click_and_a_hover_move_the_crosshair() -> None:
    async with running(causal(10)) as (app, pilot):
        lines = screen(app)
        row = next(y for y, line in enumerate(lines) if line.lstrip().startswith("·w4"))
        left = lines[row].index("·w4") + len("·w4") + 2
        await pilot.click(Heatmap, offset=(left + 2 * 3, row))
        assert app.heatmap.cursor[0] == 4
        clicked = app.heatmap.cursor
        await pilot.hover(Heatmap, offset=(left, row))
        assert app.heatmap.cursor == (4, 0)
        await pilot.hover(Heatmap, offset=(0, 0))
        assert app.heatmap.cursor == (4, 0)
        assert clicked != (4, 0)


async def test_the_scale_changes_where_the_data_has_the_other_one() -> None:
    async with running(causal(17, (ScaleKind.LINEAR, ScaleKind.LOG))) as (app, pilot):
        await pilot.press("x")
        assert "log" in screen(app)[-2]
        app.heatmap.show(causal(18))
        assert "linear" in screen(app)[-2]
        app.heatmap.show(causal(18, (ScaleKind.LINEAR, ScaleKind.LOG)))
        assert "log" in screen(app)[-2]
        await pilot.press("x")
        app.heatmap.show(causal(18))
        await pilot.press("x")
        assert app.heatmap.kind is ScaleKind.LINEAR


async def test_each_sort_of_data_remembers_its_colour_map() -> None:
    async with running(causal(17)) as (app, pilot):
        names = [app.heatmap.palette.name]
        while True:
            await pilot.press("m")
            if app.heatmap.palette.name == names[0]:
                break
            names.append(app.heatmap.palette.name)
        assert names == [palette.name for palette in PALETTES if not palette.diverging]
        await pilot.press("m")
        app.heatmap.show(causal(17, diverging=True))
        assert app.heatmap.palette.diverging
        app.heatmap.show(causal(17))
        assert app.heatmap.palette.name == names[1]


async def test_a_themes_own_palettes_come_first() -> None:
    own = Palette.from_anchors("own", ["#000000", "#ffffff"], nan="#ff0000")
    async with running(causal(5)) as (app, _):
        app.heatmap.palettes = (own, *PALETTES)
        assert app.heatmap.palette is own
        assert "own" in screen(app)[-2]


async def test_a_change_of_theme_changes_the_labels_and_the_ground() -> None:
    async with running(causal(17)) as (app, pilot):
        grounds = []
        for theme in ("textual-dark", "textual-light"):
            app.theme = theme
            await pilot.pause()
            label = next(iter(app.heatmap.render_line(5))).style or Style()
            grounds.append((label.color, label.bgcolor))
        assert grounds[0][0] != grounds[1][0]
        assert grounds[0][1] != grounds[1][1]


async def test_characters_stand_in_for_colours() -> None:
    values = np.array([[0.0, 1.0], [-np.inf, np.nan]], np.float32)
    async with running(plain(values), depth=Depth.NONE) as (app, _):
        drawn = "".join(screen(app))
        assert all(char in drawn for char in ".@N")
        assert "▀" not in drawn
        assert app.heatmap.get_line_filters() == app.get_line_filters()


async def test_no_color_means_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = HeatmapApp(causal(5))
    async with app.run_test():
        assert app.heatmap.depth is Depth.NONE


@pytest.mark.parametrize(
    ("system", "depth"), [("truecolor", Depth.TRUE), ("256", Depth.INDEXED), ("standard", Depth.NONE)]
)
async def test_the_terminal_decides_the_depth(system: str, depth: Depth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", system)
    monkeypatch.delenv("NO_COLOR", raising=False)
    app = HeatmapApp(causal(5))
    async with app.run_test():
        assert app.heatmap.depth is depth


@pytest.mark.parametrize(("features", "depth"), [("256,bpaste,title", Depth.INDEXED), ("256,RGB,title", Depth.TRUE)])
async def test_inside_tmux_the_terminal_around_it_decides(
    features: str, depth: Depth, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmux = tmp_path / "tmux"
    tmux.write_text(f"#!/bin/sh\necho {features}\n")
    tmux.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("TMUX", f"{tmp_path}/socket,1,0")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("TEXTUAL_COLOR_SYSTEM", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", "truecolor")
    app = HeatmapApp(causal(5))
    async with app.run_test():
        assert app.heatmap.depth is depth


async def test_every_binding_can_be_remapped() -> None:
    ids = [binding.id for _, binding in Heatmap(EMPTY)._bindings]
    assert all(ids)
    app = HeatmapApp(causal(17))
    app.set_keymap({"move_right": "f"})
    async with app.run_test() as pilot:
        await pilot.press("f", "right")
        assert app.heatmap.cursor == (0, 1)

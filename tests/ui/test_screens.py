"""Every pane and layout at three sizes, as text; in every theme and depth of colours, as what can be read.

One application is resized and wears one theme after the other: a start for each picture would take minutes. After a
wanted change: `TRACETUI_SNAPSHOTS=write pytest tests/ui/test_screens.py`, and look.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.color import ColorType
from rich.segment import Segment
from textual.color import Color

from tests import tiny_moe
from tests.ui import dyadic
from tests.ui.driving import Driven, driven
from tests.ui.fake import OFFER
from tests.ui.home.test_home import at_home
from tests.ui.home.test_home import text as text_at_home
from tracetui.ui.theme.themes import load_themes
from tracetui.ui.theme.variables import contrast
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.depth import Depth

FOLDER = Path(__file__).parent / "snapshots" / "screens"
SIZES = ((80, 24), (120, 40), (200, 60))
VIEWS = {
    "modules": ("pane_modules",),
    "tensor": ("pane_tensor",),
    "map": ("outlier_map",),
    "attention": ("outlier_map", "pane_attention"),
    "heads": ("heads",),
    "layers": ("heads",),
    "maximised": ("heads", "maximise"),
    "logits": ("maximise", "pane_logits"),
    "log": ("pane_log",),
}
"""The commands that lead from each view to the next; the last leads back to the first."""
EXPERTS = {"experts": ("pane_experts",), "experts-all": ("maximise",)}
LEAST = 4.5
"""WCAG AA's, of text with its ground."""


class Snapshots:
    """What was seen, held against the files at the end: all differences are told at once."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def check(self) -> None:
        if os.environ.get("TRACETUI_SNAPSHOTS") == "write":
            FOLDER.mkdir(exist_ok=True)
            for name, text in self.seen.items():
                (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
        kept = {name: (FOLDER / f"{name}.txt").read_text(encoding="utf-8") for name in self.seen}
        assert [name for name, text in self.seen.items() if text != kept[name]] == []


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracetui.ui.panes.log.pane.clock_now", lambda: "14:03:09")


async def at(it: Driven, commands: tuple[str, ...]) -> None:
    for command in commands:
        it.screen.action_command(command)
        await it.settle()


async def finished(it: Driven, depth: Depth = Depth.TRUE) -> None:
    await it.press("enter", "c")
    draw_with(it, depth)


def draw_with(it: Driven, depth: Depth) -> None:
    for heatmap in it.screen.query(Heatmap):
        heatmap.depth = depth


async def seen_at(it: Driven, views: dict[str, tuple[str, ...]], snapshots: Snapshots, mark: str = "") -> None:
    """All views at the size that there is."""
    width, height = it.app.size
    for name, commands in views.items():
        await at(it, commands)
        snapshots.seen[f"{name}{mark}-{width}x{height}"] = it.text() + "\n"


async def test_every_pane_at_every_size() -> None:
    snapshots = Snapshots()
    async with driven(size=SIZES[-1], prepare=dyadic.llama) as it:
        await finished(it)
        for size in SIZES:
            await it.pilot.resize_terminal(*size)
            await seen_at(it, VIEWS, snapshots)
        draw_with(it, Depth.NONE)
        await it.pilot.resize_terminal(*SIZES[1])
        drawn = {name: VIEWS[name] for name in ("modules", "tensor", "map", "attention", "heads", "layers")}
        await seen_at(it, drawn, snapshots, "-nocolor")
    async with driven(size=SIZES[0], outline=tiny_moe.outline(dyadic.FAMILY), prepare=dyadic.mixture) as it:
        await finished(it)
        for size in SIZES:
            await it.pilot.resize_terminal(*size)
            await seen_at(it, {**EXPERTS, "experts-back": ("maximise",)}, snapshots)
    snapshots.seen = {name: text for name, text in snapshots.seen.items() if not name.startswith("experts-back")}
    snapshots.check()


async def test_home_and_tour_at_every_size() -> None:
    snapshots = Snapshots()
    async with at_home() as (app, pilot):
        for width, height in SIZES:
            await pilot.resize_terminal(width, height)
            await pilot.pause()
            snapshots.seen[f"home-{width}x{height}"] = text_at_home(app) + "\n"
    async with driven(offer=replace(OFFER, tour=True), prepare=dyadic.llama) as it:
        for width, height in SIZES:
            await it.pilot.resize_terminal(width, height)
            await it.settle()
            snapshots.seen[f"tour-{width}x{height}"] = it.text() + "\n"
    snapshots.check()


def texts(it: Driven) -> Iterator[tuple[int, Segment]]:
    """What is written on the screen, or on the dialog above it, with its line."""
    dialog = next(iter(it.app.screen.query(".dialog")), it.app.screen).region
    for y, line in enumerate(it.app.screen._compositor.render_strips()):
        part = line.crop(dialog.x, dialog.right) if y in dialog.line_range else ()
        yield from ((y, segment) for segment in part if any(map(str.isalnum, segment.text)))


def unreadable(it: Driven) -> list[tuple[int, str, float]]:
    found = []
    for y, segment in texts(it):
        style = segment.style
        assert style is not None
        assert style.color is not None
        assert style.bgcolor is not None
        front, back = (Color.from_rich_color(colour) for colour in (style.color, style.bgcolor))
        if style.reverse:
            front, back = back, front
        if style.dim:
            front = front.blend(back, 0.5)
        if (ratio := contrast(front, back)) < LEAST:
            found.append((y, segment.text.strip(), round(ratio, 2)))
    return found


async def test_in_every_shipped_theme_all_text_can_be_read() -> None:
    dialogs = ("help", "condition")
    async with driven(prepare=dyadic.llama) as it:
        await finished(it)
        for theme in sorted(load_themes()[0]):
            it.app.theme = theme
            for pane in ("tensor", "attention", "logits"):
                await at(it, (f"pane_{pane}",))
                assert unreadable(it) == [], (theme, pane)
            for dialog in dialogs:
                await at(it, (dialog,))
                assert it.app.screen is not it.screen
                assert unreadable(it) == [], (theme, dialog)
                it.app.pop_screen()


async def test_in_256_colours_a_maps_cells_have_colours_of_the_terminal_and_no_others() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await finished(it, Depth.INDEXED)
        for theme in ("tracetui-dark", "tracetui-light"):
            it.app.theme = theme
            await at(it, ("pane_attention",))
            heatmap = it.screen.query_one("#heatmap", Heatmap)
            await it.settle()
            view = heatmap._view
            assert view is not None
            layout = view.layout
            for y in range(layout.top, layout.top + view.drawn_lines):
                cells = heatmap.render_line(y).crop(layout.left, layout.left + view.drawn_columns)
                for segment in cells:
                    assert segment.style is not None
                    kinds = {colour.type for colour in (segment.style.color, segment.style.bgcolor) if colour}
                    assert kinds <= {ColorType.EIGHT_BIT}

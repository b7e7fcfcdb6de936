"""What a key costs: which widgets are drawn for it, and what isn't looked for again."""

from __future__ import annotations

from typing import Any

import pytest
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tests.ui import dyadic
from tests.ui.driving import driven
from tracetui.ui.painting.compositor import without
from tracetui.ui.painting.focus import PlainFocus
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.tensor.pane import TensorPane
from tracetui.ui.widgets.header import Header

STEPS = {"StepBar", "TimelineBar", "Nearby"}
"""What says where the cursor is."""


async def test_a_step_draws_what_it_changes_and_nothing_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()
    lines = Widget.render_lines

    def noted(widget: Widget, crop: Region) -> list[Strip]:
        drawn.add(type(widget).__name__)
        return lines(widget, crop)

    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "3")
        await it.settle(rests=False)
        monkeypatch.setattr(Widget, "render_lines", noted)
        for _ in range(2):
            drawn.clear()
            it.screen.action_command("record_before")
            await it.settle(rests=False)
            assert STEPS <= drawn <= {*STEPS, "ModuleList", "ResidualLine"}
            # What was read ahead is shown as what it is.
            it.screen.query_one(AttentionPane)._at_rest()
            await it.settle(rests=False)


async def test_a_hidden_widget_costs_no_new_map_of_all_widgets() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c")
        compositor = it.screen._compositor
        assert it.screen.query_one(LogitsPane) not in compositor.visible_widgets
        assert compositor.full_map
        assert not compositor._full_map_invalidated
        it.screen.query_one(LogitsPane).repaint()
        it.screen.query_one(Header).refresh()
        await it.pilot.pause(0.05)
        assert not compositor._full_map_invalidated
        assert not it.screen._dirty_widgets


async def test_a_pane_behind_another_is_read_once_keys_rest_or_it_comes_to_the_front(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    reads = TensorPane.read

    def noted(pane: TensorPane) -> None:
        read.append(pane.state.cursor)
        reads(pane)

    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "3")
        monkeypatch.setattr(TensorPane, "read", noted)
        for _ in range(3):
            it.screen.action_command("record_before")
            await it.settle(rests=False)
        assert read == []
        pane = it.screen.query_one(TensorPane)
        assert pane.copied().startswith(f"{it.site} ")
        await it.settle()
        assert read == [it.state.cursor]
        it.screen.action_command("record_before")
        it.screen.action_command("pane_tensor")
        assert read[1:] == [it.state.cursor]
        await it.settle()
        assert it.site in it.text()


async def test_focus_and_being_in_front_style_a_widget_alone() -> None:
    """Where a rule comes to ask more, `PlainFocus` or the arrangement's marks have to look for more styles."""
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "3")

        def rules() -> dict[Widget, Any]:
            widgets = it.screen.query(PlainFocus).results(PlainFocus)
            inside = [child for pane in it.screen.arrangement.widgets.values() for child in pane.walk_children(Widget)]
            return {widget: dict(widget.styles.base.get_rules()) for widget in (*widgets, *inside)}

        before = rules()
        for pane in it.screen.arrangement.widgets:
            it.screen.action_command(f"pane_{pane}")
            await it.settle()
            it.app.stylesheet.update(it.screen)
            now = rules()
            changed = {widget for widget in now if now[widget] != before[widget]}
            assert changed <= set(it.screen.arrangement.widgets.values())


def test_what_is_left_of_a_part_is_all_of_it_but_the_area() -> None:
    part = Region(2, 2, 6, 5)
    for area in (Region(0, 0, 4, 4), Region(4, 3, 2, 2), Region(0, 0, 20, 20), Region(9, 9, 2, 2), Region(0, 4, 9, 1)):
        cells = {(x, y) for x in part.column_range for y in part.line_range if not area.contains(x, y)}
        rests = list(without(part, area))
        assert sorted((x, y) for rest in rests for x in rest.column_range for y in rest.line_range) == sorted(cells)

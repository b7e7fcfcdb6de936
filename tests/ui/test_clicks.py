"""A click on a number or a token goes to it, as the arrows do."""

from __future__ import annotations

from textual.widget import Widget

from tests.ui import dyadic
from tests.ui.comparing import comparing, faulty, reference
from tests.ui.driving import Driven, driven
from tracetui.ui.diff_screen.grid import DiffGrid
from tracetui.ui.panes.logits.pane import LogitsPane
from tracetui.ui.panes.tensor.value_grid import ValueGrid


async def click(it: Driven, widget: Widget, words: str, down: int = 0) -> None:
    """On the last of the words within a widget, or so many lines below it."""
    region = widget.region
    lines = [line[region.x : region.right] for line in it.text().splitlines()[region.y : region.bottom]]
    y = next(y for y, line in enumerate(lines) if words in line)
    await it.pilot.click(offset=(region.x + lines[y].rindex(words) + len(words) - 1, region.y + y + down))
    await it.settle()


async def test_a_click_on_a_number_of_a_tensor_goes_there_and_takes_the_token_along() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter")
        grid = it.screen.query_one(ValueGrid)
        await click(it, grid, " 2", down=3)
        assert grid.cell == (2, 2)
        assert it.state.token == 2
        await it.pilot.click(offset=(grid.region.x + 1, grid.region.y + 2))
        assert grid.cell == (2, 2), "beside the numbers nothing is gone to"


async def test_a_click_on_a_token_chooses_its_line_and_the_wheel_goes_on() -> None:
    async with driven(prepare=dyadic.llama) as it:
        await it.press("enter", "c", "5")
        pane = it.screen.query_one(LogitsPane)
        await click(it, pane, " logit", down=3)
        assert pane._line == 2
        pane.action_move(3)
        assert pane._line == 5


async def test_a_click_on_a_number_of_either_side_of_a_diff_goes_there() -> None:
    b = reference()
    async with comparing(faulty(b), b) as it:
        await it.press("7", "z")
        grid = it.app.screen.query_one(DiffGrid)
        await it.press("g", "home")
        before = grid.cell
        lines = it.text().splitlines()
        y = next(y for y, line in enumerate(lines) if "A−B" in line and "B " in line)
        head = lines[y + 1]
        await it.pilot.click(offset=(len(head.rstrip(" ›")) - 1, y + 4))
        await it.settle()
        assert grid.cell[0] == 2 != before[0]
        assert str(grid.cell[1]) == head.replace("›", "").split()[-1]

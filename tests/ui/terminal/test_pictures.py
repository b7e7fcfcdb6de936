"""Pictures on a terminal that answers as kitty's and sixel terminals do: what it is sent is decoded and looked at."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli.terminal import Terminal
from tests.views.pixels.decoding import of_kitty, of_sixel
from tracetui.views.palette import PALETTES, channels

PROGRAM = """
import sys
from tests.ui.fake import OFFER, FakeSession
from tests.views.pixels.test_pixels import triangle
from tracetui.ui.app import TracetuiApp
from tracetui.ui.widgets.heatmap import Heatmap
from tracetui.views.heatmap.axes import LabelledAxis
from tracetui.views.heatmap.matrix import heatmap_data

async def begin(app):
    await app.debugger.complete()
    await app.hear()
    heatmap = app.debugger.query_one("#heatmap", Heatmap)
    app.debugger.action_command("pane_attention")
    app.debugger.query_one("#attention").remove_class("-empty")
    axes = LabelledAxis.of("query", 200), LabelledAxis.of("key", 200)
    heatmap.show(heatmap_data(triangle(200), *axes))
    heatmap.choose("lagoon", "", "")

TracetuiApp._begin = begin
app = TracetuiApp(lambda listener: FakeSession(listener), OFFER)
app.run()
"""
ANSWERS = {
    "kitty": b"\x1b_Gi=31;OK\x1b\\\x1b[6;16;8t\x1b[?62;c",
    "sixel": b"\x1b[6;16;8t\x1b[?62;4;22c",
}
IN_CHARACTERS = b"maps and histograms are"


def opened(env: dict[str, str] | None = None) -> Terminal:
    folder = Path(__file__).parents[3]
    return Terminal(cwd=folder, under=(sys.executable, "-c", PROGRAM), warm=True, columns=100, rows=34, env=env)


@pytest.mark.parametrize("protocol", ANSWERS)
def test_the_picture_that_comes_is_the_matrix_in_the_legends_colours(protocol: str) -> None:
    with opened() as terminal:
        terminal.until_written(b"\x1b[c")
        terminal.send(ANSWERS[protocol])
        terminal.until_written(b"a=p" if protocol == "kitty" else b"\x1bP0;1q")
        terminal.until_written(b"\x1b\\\x1b8")
        terminal.look(0.2)
        assert "max of" not in terminal.text, "200 numbers have a pixel each"
        text = terminal.written.decode(errors="replace")
        if protocol == "kitty":
            pixels, place = of_kitty(text)
            assert pixels.shape == (int(place["r"]) * 16, int(place["c"]) * 8)
        else:
            pixels = of_sixel(text)
            assert not any(shape % cell for shape, cell in zip(pixels.shape, (16, 8), strict=True))
        legend = {channels(level) for level in PALETTES[0].levels} | {channels(PALETTES[0].nan)}
        seen = {channels(int(colour)) for colour in np.unique(pixels)}
        apart = [min(max(map(abs, np.subtract(one, other))) for other in legend) for one in seen]
        # Besides the legend's there are what is masked and what lies beyond the matrix.
        assert sum(distance > 1 for distance in apart) <= 2
        assert len(seen) >= 16
        moved = re.search(r"\x1b7(?:[^\x1b]*\x1b_G.*?\x1b\\)*\x1b\[(\d+);(\d+)H", text, re.DOTALL)
        assert moved, "it begins at a cell of its own, and the cursor goes back"
        # A dialog lies above it: kitty is told to take it away, and gets it back with a few bytes.
        before = len(terminal.written)
        terminal.send("?")
        terminal.until_written(b"all keys")
        if protocol == "kitty":
            terminal.until_written(b"a=d,d=i")
        terminal.send("\x1b")
        mark = b"a=p" if protocol == "kitty" else b"\x1bP0;1q"
        terminal._wait(lambda: mark in terminal.written[before:], "the picture again", 60)
        assert b"a=t," not in terminal.written[before:], "kitty has the data"
        terminal.send("L")
        terminal.until_written(IN_CHARACTERS)
        terminal.send("\x11")
        terminal.ended()
        terminal.assert_restored()


def test_without_an_answer_and_under_no_color_maps_stay_characters() -> None:
    with opened({"NO_COLOR": "1"}) as terminal:
        terminal.until("query 0")
        terminal.send("L")
        terminal.until("this terminal told of no pixels")
        terminal.send("\x11")
        terminal.ended()
    assert b"\x1b[c" not in terminal.written
    assert b"\x1b_G" not in terminal.written

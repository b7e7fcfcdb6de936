"""Pane 2's histogram in pixels: of the record on view, over its bars, and only where there are pixels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests.ui.driving import Driven
from tests.ui.panes.test_tensor_pane import SITE, at
from tests.views.pixels.decoding import Pixels, of_kitty
from tracetui.analysis.distribution.distribution import distribution
from tracetui.analysis.distribution.histogram import Histogram
from tracetui.ui.panes.tensor.summary import Summary
from tracetui.ui.terminal import pictures as pictures_module
from tracetui.ui.terminal.graphics import Graphics, GraphicsKnown
from tracetui.views.pixels.protocol import PixelSize, Protocol

SIZE = PixelSize(8, 16)
KITTY = Graphics(Protocol.KITTY, SIZE)


class Sent:
    """What a terminal with pixels is sent, in which no tests' driver has a part."""

    def __init__(self, it: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
        self.it = it
        self.text = ""
        self.painted = 0
        monkeypatch.setattr(it.app._driver, "write", self._write)
        paint = pictures_module._painted

        def counted(*arguments: object) -> list[str]:
            self.painted += 1
            return paint(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(pictures_module, "_painted", counted)

    def _write(self, data: str) -> None:
        self.text += data

    def picture(self) -> tuple[Pixels, dict[str, str]]:
        self.it.app.pictures.write_over(None)
        return of_kitty(self.text)

    def is_shown(self) -> bool:
        return self.it.app.pictures.shows(self.it.top.query_one(Summary))


@asynccontextmanager
async def with_pixels(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Driven, Sent]]:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    async with at(SITE, size) as it:
        sent = Sent(it, monkeypatch)
        it.app.post_message(GraphicsKnown(KITTY))
        await it.settle()
        yield it, sent


def shown_by(it: Driven) -> Histogram:
    state = it.top.state
    elements = distribution(state.trace.value(state.record))
    return elements.histograms[it.top.query_one(Summary).scale or elements.fitting]


def pictured(it: Driven) -> Histogram:
    """What the picture shows."""
    (picture,) = it.app.pictures._of[it.top.query_one(Summary)].pictures
    assert isinstance(picture.sketch.shows, tuple)
    histogram = picture.sketch.shows[0]
    assert isinstance(histogram, Histogram)
    return histogram


def assert_of(histogram: Histogram, pixels: Pixels, ground: int) -> None:
    """Whether bars of even bins are as high as the counts."""
    heights = (pixels != ground).sum(axis=0)
    bins = np.arange(len(heights)) * len(histogram.counts) // len(heights)
    shares = histogram.counts / histogram.counts.max() * len(pixels)
    assert (np.abs(heights - shares[bins]) <= 1).all()
    assert ((heights > 0) == (histogram.counts[bins] > 0)).all()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (180, 50)])
async def test_the_picture_lies_over_the_bars_and_has_their_heights(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_pixels(size, monkeypatch) as (it, sent):
        await it.press("x")
        assert sent.is_shown()
        pixels, place = sent.picture()
        columns, rows = int(place["c"]), int(place["r"])
        assert pixels.shape == (rows * SIZE.height, columns * SIZE.width)
        summary = it.top.query_one(Summary)
        ground = summary.rich_style.bgcolor
        assert ground is not None
        red, green, blue = ground.get_truecolor()
        assert_of(shown_by(it), pixels, red << 16 | green << 8 | blue)
        # Its place has characters of bars, and the axis below it.
        at_cells = sent.text[: sent.text.rindex("\x1b_Ga=p")].rpartition("\x1b[")[2].removesuffix("H").split(";")
        y, x = (int(cell) - 1 for cell in at_cells)
        lines = [line.ljust(size[0])[x : x + columns] for line in it.text().splitlines()[y : y + rows + 1]]
        assert set("".join(lines[:-1])) <= set(" ▁▂▃▄▅▆▇█")
        assert "─" in lines[-1]


async def test_it_is_painted_once_for_each_histogram_and_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_pixels((120, 40), monkeypatch) as (it, sent):
        before, first = sent.painted, shown_by(it)
        it.top.refresh()
        await it.press("question_mark", "escape")
        assert sent.painted == before, "a dialog that came and went"
        await it.press("p")
        assert sent.painted == before + 1
        assert shown_by(it).counts.tolist() != first.counts.tolist()
        it.app.theme = "tracetui-light"
        await it.settle()
        assert sent.painted == before + 2
        assert sent.is_shown()


async def test_the_key_of_maps_switches_it_in_the_table_of_values_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with with_pixels((120, 40), monkeypatch) as (it, sent):
        characters = [line for line in it.text().splitlines() if "█" in line]
        assert sent.is_shown()
        sent.picture()
        await it.press("L")
        assert not sent.is_shown()
        assert "maps and histograms are drawn in characters" in it.notices
        it.app.pictures.write_over(None)
        assert "a=d,d=I" in sent.text, "kitty is told to forget it"
        assert characters == [line for line in it.text().splitlines() if "█" in line]
        await it.press("p", "L")
        assert sent.is_shown()
        assert pictured(it).counts.tolist() == shown_by(it).counts.tolist()


async def test_what_is_drawn_ahead_offers_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_pixels((120, 40), monkeypatch) as (it, sent):
        summary, shown = it.top.query_one(Summary), shown_by(it)
        reading = summary._reading
        assert reading is not None
        record = it.top.state.trace.records[it.top.state.cursor - 1]
        elements = distribution(it.top.state.trace.value(record))
        assert elements.histograms[elements.fitting].counts.tolist() != shown.counts.tolist()
        summary.draw_ahead(replace(reading, record=record, distribution=elements))
        await it.settle()
        assert pictured(it).counts.tolist() == shown.counts.tolist()
        assert sent.is_shown()


async def test_without_pixels_and_under_no_color_it_stays_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with at(SITE) as it:
        assert not it.app.wants_pictures, "the terminal isn't even asked"
        summary = it.top.query_one(Summary)
        assert not it.app.pictures.shows(summary)
        assert summary not in it.app.pictures._of
        assert "▁" in it.text()

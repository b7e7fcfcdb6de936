"""The histogram of the record on view: on the scale that is shown, in characters, and its bars in pixels."""

from __future__ import annotations

from dataclasses import dataclass

from rich.style import Style

from tracetui.analysis.distribution.distribution import Distribution
from tracetui.analysis.distribution.histogram import Histogram, HistogramScale
from tracetui.views.cells import Line
from tracetui.views.charts.histogram import bar_rows, histogram_lines
from tracetui.views.inks import Inks
from tracetui.views.pixels.histogram_pixels import histogram_sketch
from tracetui.views.pixels.sketch import CellArea, Sketch


def shown_scale(elements: Distribution, chosen: HistogramScale | None) -> HistogramScale:
    """The scale chosen, or where the tensor has no such one, that which fits."""
    return chosen if chosen is not None and chosen in elements.histograms else elements.fitting


@dataclass(frozen=True, eq=False, slots=True)
class ShownHistogram:
    """One histogram, and the name of its scale if that isn't the ordinary one."""

    histogram: Histogram
    told: str

    @classmethod
    def of(cls, elements: Distribution, chosen: HistogramScale | None) -> ShownHistogram:
        scale = shown_scale(elements, chosen)
        return cls(elements.histograms[scale], "" if scale is HistogramScale.LINEAR else str(scale))

    def lines(self, area: CellArea, inks: Inks) -> list[Line]:
        return histogram_lines(self.histogram, area.width, area.height, inks, told=self.told)

    def sketch(self, area: CellArea, inks: Inks, ground: Style) -> Sketch | None:
        """The bars alone: the axis below them stays text."""
        rows = bar_rows(self.histogram, area.width, area.height, self.told)
        return histogram_sketch(self.histogram, CellArea(area.x, area.y, area.width, rows), inks, ground)

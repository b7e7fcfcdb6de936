"""A compositor that asks widgets for no more lines than a repaint shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual._compositor import ChopsUpdate, Compositor
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class PartCompositor(Compositor):
    """Textual's own asks every widget between the first and the last line that changed, for all its lines."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: Sequence[Region] | None = None
        """What a repaint is about; None where it is about all."""

    def update_widgets(self, widgets: set[Widget]) -> None:
        """A hidden one is drawn once it is shown: Textual would place all widgets anew for it, at each change."""
        super().update_widgets(widgets & self.visible_widgets.keys())

    def render_partial_update(self) -> ChopsUpdate | None:
        self._changed = tuple(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changed = None

    def _get_renders(self, crop: Region | None = None) -> Iterable[tuple[Region, Region, list[Strip]]]:
        """Widgets from the front to the back, each with the lines of it that are seen in what changed."""
        whole = self.size.region if crop is None else crop
        open_parts = [whole] if self._changed is None else [part.intersection(whole) for part in self._changed]
        for widget, (region, clip) in self.visible_widgets.items():
            area = region.intersection(clip)
            touched = [part.intersection(area) for part in open_parts if part.overlaps(area)]
            if not touched:
                continue
            top, bottom = min(part.y for part in touched), max(part.bottom for part in touched)
            lines = Region(area.x, top, area.width, bottom - top)
            yield region, lines, widget.render_lines(lines.translate(-region.offset))
            # What is behind it isn't seen.
            open_parts = [rest for part in open_parts for rest in without(part, area)]
            if not open_parts:
                return


def without(part: Region, area: Region) -> Iterable[Region]:
    """What of a part lies outside of an area."""
    if not part.overlaps(area):
        yield part
        return
    inside = part.intersection(area)
    rests = (
        Region(part.x, part.y, part.width, inside.y - part.y),
        Region(part.x, inside.bottom, part.width, part.bottom - inside.bottom),
        Region(part.x, inside.y, inside.x - part.x, inside.height),
        Region(inside.right, inside.y, part.right - inside.right, inside.height),
    )
    yield from filter(None, rests)

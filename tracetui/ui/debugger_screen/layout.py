"""What of the screen comes back next time: its panes and their sizes, the tree's folds, the heatmaps' colours."""

from __future__ import annotations

from collections.abc import Iterable

from tracetui.debugger.memory.note import MapLook, ScreenLayout
from tracetui.debugger.module_rows import layouts_of
from tracetui.debugger.readings.attention import SHOWN
from tracetui.ui.debugger_screen.host import Panes
from tracetui.ui.debugger_screen.sizes.actions import SizeActions
from tracetui.ui.panes.attention.pane import AttentionPane
from tracetui.ui.panes.modules.find_bar import FindBar
from tracetui.ui.panes.modules.pane import ModuleList
from tracetui.ui.panes.table import PANES
from tracetui.ui.widgets.heatmap import Heatmap


class WidgetLayout:
    """Holds its widgets itself, so that it can be asked while the screen is taken down."""

    def __init__(
        self, panes: Panes, tree: ModuleList, find_bar: FindBar, attention: AttentionPane, sizes: SizeActions
    ) -> None:
        self._panes = panes
        self._sizes = sizes
        self._tree = tree
        self._find_bar = find_bar
        self._attention = attention
        self._maps: tuple[Heatmap, ...] = ()

    def hold(self, maps: Iterable[Heatmap]) -> None:
        """The heatmaps, once the panes have made them."""
        self._maps = tuple(maps)

    def look_as(self, layout: ScreenLayout) -> None:
        known = {look.map: look for look in layout.maps}
        for heatmap in self._maps:
            if (before := known.get(heatmap.id or "")) is not None:
                heatmap.choose(before.colours, before.diverging, before.scale)
        self._tree.numbers.choose(layout.numbers)
        self._sizes.use(layout.sizes)
        self._attention.kind = next((kind for kind in SHOWN if kind == layout.scores), "probs")

    def unfold_as(self, layout: ScreenLayout) -> None:
        if layout.opened is not None:
            self._tree.unfold(layout.opened)
        if layout.names in layouts_of(self._tree.state.outline):
            self._tree.layout_shown = layout.names
            self._find_bar.name_layout(layout.names)

    def bring_as(self, layout: ScreenLayout) -> None:
        panes = self._panes
        if layout.front in {pane.id for pane in PANES} and panes.front == "tensor":
            panes.bring(layout.front)
            if not panes.typing:
                panes.to_front()
        if layout.maximised and not panes.maximised:
            panes.give_room(layout.maximised)

    def now(self) -> ScreenLayout:
        front, kind = self._panes.front, self._attention.kind
        return ScreenLayout(
            front=front if front != "tensor" else "",
            maximised=self._panes.maximised,
            opened=self._tree.unfolded,
            names=self._tree.layout_shown,
            scores="" if kind == "probs" else kind,
            numbers=self._tree.numbers.chosen,
            sizes=self._sizes.sizes,
            maps=tuple(look for heatmap in self._maps if (look := _look_of(heatmap)) != MapLook(look.map)),
        )


def _look_of(heatmap: Heatmap) -> MapLook:
    scale = "" if heatmap.kind is None or heatmap.kind is heatmap.KIND else heatmap.kind
    return MapLook(heatmap.id or "", scale, *heatmap.chosen)

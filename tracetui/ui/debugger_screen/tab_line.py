"""The names of the panes, the one in front marked; a click brings another to the front."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive

from tracetui.ui.panes.pane import HAS_KEYS, Pane
from tracetui.ui.panes.table import PANES
from tracetui.ui.widgets.action_line import ActionLine, Part

_ROOMY = 56
_FULL = 50
"""Cells that all tabs just fill: one fewer keeps the last from the edge."""


class TabLine(ActionLine):
    """` 2 Tensor   3 Attention   4 Experts   5 Logits   6 Log`."""

    front: reactive[str] = reactive("tensor")
    has_keys: reactive[bool] = reactive(False)
    """Whether the pane in front is the one that hears the keys."""

    def parts(self) -> list[Part]:
        return [(self._tab(pane), f"screen.command('pane_{pane.id}')") for pane in PANES]

    def _tab(self, pane: Pane) -> Content:
        gap = "  " if self.size.width >= _ROOMY else " "
        if pane is PANES[-1] or (pane is PANES[-2] and self.size.width == _FULL):
            gap = ""
        if pane.id == self.front:
            return Content.assemble(
                (f"{HAS_KEYS if self.has_keys else ' '}{pane.key} ", "bold $accent"),
                (pane.title, "bold underline $foreground"),
                gap,
            )
        return Content.styled(f" {pane.key} {pane.title}{gap}", "$quiet")

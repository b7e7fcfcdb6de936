"""The names of the panes, the one in front marked; a click brings another to the front."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive

from tracetui.ui.widgets.action_line import ActionLine, Part

PANES = (
    ("tensor", "2", "Tensor"),
    ("attention", "3", "Attention"),
    ("experts", "4", "Experts"),
    ("logits", "5", "Logits"),
    ("log", "6", "Log"),
)
_ROOMY = 56
_FULL = 50
"""Cells that all tabs just fill: one fewer keeps the last from the edge."""
HAS_KEYS = "▌"
"""Before the title of the pane that hears the keys."""


class TabLine(ActionLine):
    """` 2 Tensor   3 Attention   4 Experts   5 Logits   6 Log`."""

    front: reactive[str] = reactive("tensor")
    has_keys: reactive[bool] = reactive(False)
    """Whether the pane in front is the one that hears the keys."""

    def parts(self) -> list[Part]:
        return [(self._tab(pane, key, name), f"screen.pane('{pane}')") for pane, key, name in PANES]

    def _tab(self, pane: str, key: str, name: str) -> Content:
        gap = "  " if self.size.width >= _ROOMY else " "
        if pane == PANES[-1][0] or (pane == PANES[-2][0] and self.size.width == _FULL):
            gap = ""
        if pane == self.front:
            return Content.assemble(
                (f"{HAS_KEYS if self.has_keys else ' '}{key} ", "bold $accent"),
                (name, "bold underline $foreground"),
                gap,
            )
        return Content.styled(f" {key} {name}{gap}", "$quiet")

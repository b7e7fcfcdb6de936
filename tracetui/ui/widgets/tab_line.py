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


class TabLine(ActionLine):
    """` 2 Tensor   3 Attention   4 Experts   5 Logits   6 Log`."""

    front: reactive[str] = reactive("tensor")

    def parts(self) -> list[Part]:
        return [(self._tab(pane, key, name), f"screen.pane('{pane}')") for pane, key, name in PANES]

    def _tab(self, pane: str, key: str, name: str) -> Content:
        gap = "" if pane == PANES[-1][0] else "  " if self.size.width >= _ROOMY else " "
        if pane == self.front:
            return Content.assemble((f" {key} ", "bold $accent"), (name, "bold underline $foreground"), gap)
        return Content.styled(f" {key} {name}{gap}", "$quiet")

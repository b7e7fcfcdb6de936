"""The last line of a dialog: its keys, which can be clicked; the same in all of them."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size

from tracetui.text import visible
from tracetui.ui.widgets.action_line import ActionLine, Part

_GAP = "   "
CLOSE = ("Esc", "closes", "dismiss(None)")
LEAVE = ("Esc", "leaves", "leave")


class DialogKeys(ActionLine):
    """`Enter takes it   Esc leaves   Tab completes`: the important ones first; those that don't fit are left out."""

    kept = frozenset({f"screen.{CLOSE[-1]}", f"screen.{LEAVE[-1]}"})

    def __init__(self, *keys: tuple[str, str, str], beside: str = "") -> None:
        """keys: each with what it does and the dialog's action, empty where only the key does it."""
        super().__init__()
        self._keys = keys
        self._beside = beside

    def show(self, *keys: tuple[str, str, str], beside: str = "") -> None:
        """Other keys, and what is said after them."""
        self._keys, self._beside = keys, beside
        self.refresh(layout=True)

    def parts(self) -> list[Part]:
        parts = [
            (Content.assemble((key, "bold $accent"), f" {label}{_GAP}"), action and f"screen.{action}")
            for key, label, action in self._keys
        ]
        return [*parts, (Content(visible(self._beside)), "")] if self._beside else parts

    def get_content_width(self, container: Size, viewport: Size) -> int:
        return sum(content.cell_length for content, _ in self.parts())

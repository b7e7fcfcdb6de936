"""What stands on a terminal too small for anything else."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

SMALLEST = (60, 16)


class TooSmall(Widget):
    """Says how much room is needed; q still quits."""

    def render(self) -> Content:
        width, height = self.app.size
        return Content.assemble(
            ("tracetui", "bold $primary"),
            f"\n{width}×{height} is too small.\nIt needs {SMALLEST[0]}×{SMALLEST[1]}.\n",
            ("q", "bold $accent"),
            " quits",
        )

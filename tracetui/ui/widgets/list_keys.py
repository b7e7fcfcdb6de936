"""The keys by which one goes through lines, the same in every list and tree."""

from __future__ import annotations

from textual.binding import Binding

FAR = 1_000_000
"""Lines that no list has: to one of its ends."""
LINE_KEYS = (
    Binding("up,k", "move(-1)", "up", show=False, id="move_up"),
    Binding("down,j", "move(1)", "down", show=False, id="move_down"),
    Binding("g", f"move({-FAR})", "the first line", show=False, id="move_first"),
    Binding("G", f"move({FAR})", "the last line", show=False, id="move_last"),
)
TREE_KEYS = (
    *LINE_KEYS,
    Binding("pageup", "page(-1)", "page up", show=False, id="page_up"),
    Binding("pagedown", "page(1)", "page down", show=False, id="page_down"),
    Binding("left,h", "fold", "fold", show=False, id="tree_fold"),
    Binding("right,l", "unfold", "unfold", show=False, id="tree_unfold"),
)

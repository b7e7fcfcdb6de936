"""The keys by which one goes through lines, the same in every list and tree."""

from __future__ import annotations

from textual.binding import Binding

LINE_KEYS = (
    Binding("up,k", "move(-1)", "up", show=False, id="move_up"),
    Binding("down,j", "move(1)", "down", show=False, id="move_down"),
)
TREE_KEYS = (
    *LINE_KEYS,
    Binding("pageup", "page(-1)", "page up", show=False, id="page_up"),
    Binding("pagedown", "page(1)", "page down", show=False, id="page_down"),
    Binding("left,h", "fold", "fold", show=False, id="tree_fold"),
    Binding("right,l", "unfold", "unfold", show=False, id="tree_unfold"),
)

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
CELL_KEYS = (
    Binding("left,h", "move(0, -1)", "column before", show=False, id="move_left"),
    Binding("right,l", "move(0, 1)", "next column", show=False, id="move_right"),
    Binding("up,k", "move(-1, 0)", "row above", show=False, id="move_up"),
    Binding("down,j", "move(1, 0)", "row below", show=False, id="move_down"),
    Binding("g", f"move({-FAR}, 0)", "the first row", show=False, id="move_first"),
    Binding("G", f"move({FAR}, 0)", "the last row", show=False, id="move_last"),
)
"""By which one goes through the cells of a table or a map."""
MAP_KEYS = (
    *CELL_KEYS,
    Binding("home", "edge(0)", "first column", show=False, id="row_start"),
    Binding("end", "edge(-1)", "last column", show=False, id="row_end"),
    Binding("plus,equals_sign", "magnify(1)", "zoom in", show=False, id="zoom_in"),
    Binding("minus", "magnify(-1)", "zoom out", show=False, id="zoom_out"),
    Binding("0", "fit", "the whole matrix", show=False, id="zoom_fit"),
    Binding("m", "next_palette", "next colour map", show=False, id="next_palette"),
    Binding("x", "switch_scale", "the next scale", show=False, id="switch_scale"),
)
"""What moves the crosshair of a map, and what changes how it is drawn."""

"""Every command of the diff screen once; what the debugger has too keeps its id, and so its key.

What it alone has is on keys that mean nothing in the debugger.
"""

from __future__ import annotations

from dataclasses import replace

from tracetui.ui.keys.commands import COMMANDS, Command


def _as_there(id_: str, footer: int = 0) -> Command:
    """The debugger's own command, at another place in the footer, or in none."""
    command = next(command for command in COMMANDS if command.id == id_)
    return replace(command, footer=footer, label=command.label if footer else "", pair="")


DIFF_COMMANDS = (
    Command("diff_first", "f", "the first divergence", "Differences", "first", 1),
    Command("diff_next", "semicolon", "the next site that differs", "Differences", "next", 2, "diff_previous"),
    Command("diff_previous", "apostrophe", "the site before that differs", "Differences"),
    Command("diff_clue", "asterisk", "the next hint or routing change", "Differences", "hint", 3, "diff_clue_back"),
    Command("diff_clue_back", "ampersand", "the hint or routing change before", "Differences"),
    Command("diff_overview", "I", "all of it in words: what differs beforehand, the layers", "Differences"),
    Command("diff_worst", "W", "the element that is furthest apart", "Differences", "worst", 5),
    Command("diff_noise", "tilde", "noise or bug: rerun one side in float64", "Differences"),
    Command("diff_quantised", "Q", "what quantising did, where one side's weights are the other's", "Differences"),
    Command("diff_swap", "V", "heatmap of A, B or A−B, where one has room", "Look", "A B A−B", 8),
    Command("diff_scale", "Y", "A−B on a scale of its own, or on that of A and B", "Look"),
    Command("scores", "a", "the tensor, or its attention's scores, masked, probabilities", "Look"),
    Command("next_head", "]", "the next head", "Look", "head", 9, "previous_head"),
    Command("previous_head", "[", "the head before", "Look"),
    _as_there("pixels"),
    *map(_as_there, ("next_row", "previous_row", "next_token", "previous_token")),
    Command("pane_modules", "1", "the tree of both sides", "Panes"),
    Command("pane_tensor", "2", "what was found, all of it", "Panes"),
    Command("diff_values", "7", "the values of A, B and A−B", "Panes", "values", 6),
    Command("diff_maps", "8", "heatmaps of A, B and A−B", "Panes", "maps", 7),
    Command("maximise", "z", "all room for the panes, or the tree again", "Panes"),
    *map(_as_there, ("divider_left", "divider_right")),
    Command("copy", "y", "copy what was found, in words", "Other", "copy", 10),
    Command("close_recording", "escape,backspace", "back to the debugger", "Other", "back", 4),
    _as_there("theme"),
    _as_there("help", 11),
    *map(_as_there, ("screenshot", "palette")),
    _as_there("quit", 12),
)
ALONE_COMMANDS = tuple(
    replace(command, label="", footer=0, help="quit, with the exit code of `tracetui diff`")
    if command.id == "close_recording"
    else command
    for command in DIFF_COMMANDS
)
"""Of `tracetui diff A B --tui`, below which there is no other screen."""
DIFF_GROUPS = ("Differences", "Look", "Panes", "Other")
IN_DIFF_PANES = (
    ("arrows hjkl", "move: a line, a cell, the crosshair; in the tree h folds"),
    ("PgUp PgDn", "a page"),
    ("Enter", "in the tree: fold, or show what is inside"),
    ("+ - 0", "in a heatmap: closer, farther, the whole matrix"),
    ("m  x", "in a heatmap: colour map, linear or log scale"),
    ("Tab", "the next pane"),
)

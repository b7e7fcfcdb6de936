"""Every command of the quantisation screen once; what other screens have too keeps its key."""

from __future__ import annotations

from dataclasses import replace

from tracetui.ui.keys.commands import COMMANDS, Command
from tracetui.views.quantised.ranking import Ranking

_HELP = {
    Ranking.LAYER: "each layer's quantised weights in the original",
    Ranking.KIND: "each kind of weight, in all layers",
    Ranking.MATRIX: "single weights of the layers that hurt most",
    Ranking.POSITION: "all weights: what is predicted after each token",
    Ranking.WEIGHT: "each weight's own error, and its module's",
}


def _as_there(id_: str, footer: int = 0) -> Command:
    """The debugger's own command, at another place in the footer, or in none."""
    command = next(command for command in COMMANDS if command.id == id_)
    return replace(command, footer=footer, label=command.label if footer else "", pair="")


QUANTISED_COMMANDS = (
    *(
        Command(f"quantised_{ranking.name.lower()}", str(number), _HELP[ranking], "Tables")
        for number, ranking in enumerate(Ranking, 1)
    ),
    Command("quantised_next", "right_square_bracket,tab", "the next table", "Tables", "table", 2, "quantised_before"),
    Command("quantised_before", "left_square_bracket,shift+tab", "the table before", "Tables"),
    Command("quantised_order", "o", "by damage, or in the order of the model", "Look", "order", 3),
    Command("quantised_measure", "enter", "measure, where that waits for you", "Other"),
    Command("copy", "y", "copy the table as text", "Other", "copy", 4),
    Command("close_recording", "escape,backspace", "back", "Other", "back", 1),
    _as_there("theme"),
    _as_there("help", 5),
    *map(_as_there, ("screenshot", "palette")),
    _as_there("quit", 6),
)
QUANTISED_GROUPS = ("Tables", "Look", "Other")
IN_QUANTISED_PANES = (("arrows jk", "move a line"), ("PgUp PgDn", "a page"), ("Home End", "the first line, the last"))

"""Words of the field, explained where they stand: the mouse over them shows what `?` says of them."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget


def explain(widget: Widget, text: str, pane: str) -> None:
    """Explain the words of a pane that stand in a widget's text while the mouse is over it."""
    # Of the debugger's first frame this is no part.
    from tracetui.debugger.lessons import words_in

    lines = [Content.assemble((line.label, "bold"), f": {line.text}") for line in words_in(text, pane)]
    widget.tooltip = Content("\n").join(lines) if lines else None

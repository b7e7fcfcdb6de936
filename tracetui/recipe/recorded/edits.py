"""The edits that a recorded run made."""

from __future__ import annotations

from tracetui.errors import InputError
from tracetui.expr.edit import Edit
from tracetui.expr.edit_parse import parse_edits
from tracetui.recording.trace import Trace
from tracetui.text import visible


def edits_of(trace: Trace, name: str) -> tuple[Edit, ...]:
    """The edits that a trace's run made; `name` is what messages call the trace. Raises InputError."""
    kept = trace.run.recipe.get("edits", ())
    if not isinstance(kept, list | tuple) or not all(isinstance(text, str) for text in kept):
        raise InputError(f"{name}: recipe.edits: must be a list of texts, got {visible(repr(kept), 60)}")
    return parse_edits([str(text) for text in kept], f"{name}: recipe.edits")

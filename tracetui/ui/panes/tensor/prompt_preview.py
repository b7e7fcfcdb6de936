"""What Enter would run, as the first screen shows it: rendered chats with their tokens, and special tokens typed."""

from __future__ import annotations

from textual.content import Content

from tracetui.debugger.labels import label_of, row_name
from tracetui.debugger.session import Preview, PromptRow
from tracetui.text import visible
from tracetui.views.run.prompts import typed_line

_ROWS, _CHARACTERS, _TOKENS = 4, 400, 60
"""As much as is shown."""


def preview_warnings(preview: Preview) -> list[Content]:
    """Why it can't be run, or which names in it become special tokens; these come first, so that none is cut off."""
    if preview.problem:
        return [Content.styled(visible(preview.problem, 2000), "$error")]
    names = list(dict.fromkeys(name for row in preview.rows for name in row.typed))
    return [Content.styled(f"! {typed_line(names)}", "$waiting")] if names else []


def preview_rows(preview: Preview) -> list[Content]:
    """The first rows, each as text and as tokens, special ones in brackets."""
    told: list[Content] = []
    for number, row in enumerate(preview.rows[:_ROWS]):
        told += _row(row_name(number, len(preview.rows)), row, preview.prompts.chat)
    if len(preview.rows) > _ROWS:
        told.append(Content.styled(f"and {len(preview.rows) - _ROWS} more", "$quiet"))
    return told


def _row(name: str, row: PromptRow, chat: bool) -> list[Content]:
    head = f"{'chat' if chat else 'prompt'}{name and f', {name}'}, {len(row.tokens)} tokens: "
    parts: list[tuple[str, str]] = []
    for token in row.tokens[:_TOKENS]:
        parts.append((f"[{label_of(token)}]" if token.special else label_of(token), "$accent" if token.special else ""))
        parts.append((f" {token.id}  ", "$quiet"))
    if len(row.tokens) > _TOKENS:
        parts.append(("…", "$quiet"))
    return [Content.assemble((head, "$quiet"), visible(row.text, _CHARACTERS)), Content.assemble(*parts)]

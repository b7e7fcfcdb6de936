"""Whether what prompts are read by, a tokenizer and a chat template, is still what it was."""

from __future__ import annotations

from pathlib import Path

from tracetui.file_state import settled_state, state_of
from tracetui.models.chat.prompts import template_places
from tracetui.models.chat.template_files import template_files
from tracetui.models.tokenizers.load import tokenizer_file
from tracetui.recipe import Recipe


class PromptFiles:
    """The files that a recipe's prompts are read by, as they were when this was made."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises InputError for a tokenizer that isn't there."""
        tokenizer = tokenizer_file(recipe.tokenizer)
        self._paths = [*([] if tokenizer is None else [tokenizer]), *template_files(template_places(recipe))]
        self._states = [settled_state(path) for path in self._paths]

    @property
    def changed(self) -> tuple[Path, ...]:
        """Those of them that were written, replaced or removed, or have come."""
        states = zip(self._paths, self._states, strict=True)
        return tuple(path for path, before in states if state_of(path) != before)

"""What the screen knows before a session exists: the recipe in plain words, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from tracetui.recipe.prompts import NO_PROMPT, Prompts


@dataclass(frozen=True, slots=True)
class Offer:
    """What is about to be run, as the first screen shows it."""

    title: str
    """The name the user gave: `llama3-2layer`."""
    description: str = ""
    """`Llama 3 8B, first two layers`."""
    dtype: str = ""
    weights: str = ""
    """Where the weights come from, in words: `random weights, seed 0`."""
    prompts: Prompts = NO_PROMPT
    """Offered in the prompt line."""
    tokenizer: str = ""
    """In words; replaced by what the session reports."""
    facts: tuple[tuple[str, str], ...] = ()
    """Fields of the config worth knowing, as name and value: `("hidden size", "4096")`."""
    notes: tuple[str, ...] = ()
    """Remarks that belong beside every result."""

    def prompts_for(self, typed: str) -> Prompts:
        """What Enter runs for a line: the text typed, or for an empty one the batch that is offered."""
        return self.prompts.typed(typed) if typed or self.prompts.one_text else self.prompts

    @property
    def file_name(self) -> str:
        """The name offered for an export."""
        stem = "".join(char if char.isalnum() or char in "-_." else "-" for char in self.title).strip("-.")
        return f"{stem[:80] or 'trace'}.npz"

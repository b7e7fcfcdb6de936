"""From what a user asks for to the rows of tokens that the model gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from tracetui.debugger.session import PromptRow
from tracetui.errors import InputError
from tracetui.models.chat.prompts import Chats, free_shield
from tracetui.models.tokenizers import Tokenizer, check_ids
from tracetui.recipe import Prompts, Recipe


class PromptReader:
    """Encodes prompts for one recipe's model."""

    def __init__(self, recipe: Recipe, tokenizer: Tokenizer, vocabulary: int, longest: int | None) -> None:
        """`vocabulary` is the number of token ids that the model has, `longest` of positions, None if any."""
        self._recipe = recipe
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._longest = longest
        self._chats = Chats(recipe, tokenizer)
        self._read: Prompts | None = None
        self._rows: tuple[PromptRow, ...] = ()

    def read(self, prompts: Prompts) -> tuple[PromptRow, ...]:
        """The rows, in order.

        Raises InputError for an empty one, for ids beyond the vocabulary and for more tokens than the model takes;
        where there are several rows it names the row.
        """
        if not len(prompts):
            raise InputError("prompt: is missing; give a text or token ids")
        if prompts != self._read:
            self._rows = tuple(
                _named(number, len(prompts), reader) for number, reader in enumerate(self._readers(prompts))
            )
            self._read = prompts
        return self._rows

    def _readers(self, prompts: Prompts) -> list[Callable[[], PromptRow]]:
        if prompts.chat and prompts.texts:
            shield = "" if prompts.specials else free_shield((prompts.system, *prompts.texts))
            rendered = self._chats.render(prompts, shield)
            return [
                partial(self._of_chat, whole, text, prompts, shield)
                for whole, text in zip(rendered, prompts.texts, strict=True)
            ]
        if prompts.texts:
            return [partial(self._of_text, text, prompts) for text in prompts.texts]
        ids = self._drawn(prompts.random) if prompts.random else prompts.ids
        return [partial(self._of_ids, row) for row in ids]

    def _of_ids(self, ids: Sequence[int]) -> PromptRow:
        return self._checked(PromptRow("", tuple(self._tokenizer.token(token_id) for token_id in ids)))

    def _of_text(self, text: str, prompts: Prompts) -> PromptRow:
        if not text:
            raise InputError("prompt: is empty; type some text")
        tokens = tuple(self._tokenizer.encode(text, specials=prompts.specials))
        return self._checked(PromptRow(text, tokens, self._chats.typed(text) if prompts.specials else ()))

    def _of_chat(self, rendered: str, text: str, prompts: Prompts, shield: str) -> PromptRow:
        if not text:
            raise InputError("prompt: is empty; type some text")
        tokens = tuple(self._chats.encode(rendered, shield))
        typed = self._chats.typed(f"{prompts.system}\n{text}") if prompts.specials else ()
        return self._checked(PromptRow(rendered.replace(shield, "") if shield else rendered, tokens, typed))

    def _drawn(self, size: tuple[int, int]) -> list[list[int]]:
        """Ids drawn evenly from the vocabulary; the recipe's seed decides."""
        drawn: list[list[int]] = np.random.default_rng(self._recipe.seed).integers(0, self._vocabulary, size).tolist()
        return drawn

    def _checked(self, row: PromptRow) -> PromptRow:
        if not row.tokens:
            raise InputError("prompt: has no tokens")
        check_ids([token.id for token in row.tokens], self._vocabulary)
        if self._longest and len(row.tokens) > self._longest:
            raise InputError(f"prompt: has {len(row.tokens):,} tokens, and the model takes at most {self._longest:,}")
        return row

    def check_length(self, positions: int) -> None:
        """Raises InputError for more positions, the generated ones among them, than the model has."""
        if self._longest and positions > self._longest:
            raise InputError(f"generate: would need {positions:,} positions, and the model has {self._longest:,}")


def _named(number: int, rows: int, read: Callable[[], PromptRow]) -> PromptRow:
    """A row; what is wrong with one of several is told with its number."""
    try:
        return read()
    except InputError as error:
        if rows == 1:
            raise
        raise InputError(f"row {number}: {error}") from error

"""Whether a folder's configuration still says what it did when its recipe was read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tracetui.errors import InputError
from tracetui.formats.table import MAX_CONFIG_BYTES
from tracetui.paths import read_bounded
from tracetui.recipe.folder import CONFIG, PARAMS
from tracetui.recipe.model import Recipe

_CHANGED = "the folder's configuration was changed while it was open: this runs as it was; start again to have it read"


class ConfigState:
    """What the configuration beside a recipe's weights said at first, and when it was last looked at."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._first = self._seen = _text(recipe.weights)

    @property
    def is_news(self) -> bool:
        """Whether the configuration has changed since it was last read."""
        return _text(self._recipe.weights) != self._seen

    def recipe(self) -> Recipe:
        """The recipe, with a note if the configuration has changed since the start."""
        self._seen = _text(self._recipe.weights)
        notes = () if self._seen == self._first else (_CHANGED,)
        return replace(self._recipe, notes=(*self._recipe.notes, *notes))


def _text(folder: Path | None) -> bytes:
    """Empty without one that can be read."""
    for path in (folder / PARAMS, folder / CONFIG) if folder is not None else ():
        with suppress(InputError):
            return read_bounded(path, MAX_CONFIG_BYTES)
    return b""

"""Whether the files that a recipe was read from still say what they did."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tracetui.errors import InputError
from tracetui.formats.table import MAX_CONFIG_BYTES
from tracetui.paths import read_bounded
from tracetui.recipe.folder import CONFIG, PARAMS
from tracetui.recipe.model import Recipe
from tracetui.text import visible

_CHANGED = "was changed while it was open: this runs as it was; start again to have it read"


class ConfigState:
    """What the recipe's file and the configuration beside its weights said at first, and when they were last read."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._paths = _paths(recipe)
        self._first = self._seen = self._texts()

    @property
    def is_news(self) -> bool:
        """Whether one of the files has changed since they were last read."""
        return self._texts() != self._seen

    def recipe(self) -> Recipe:
        """The recipe, with a note on each file that has changed since the start."""
        self._seen = self._texts()
        changed = (
            path for path, first, seen in zip(self._paths, self._first, self._seen, strict=True) if first != seen
        )
        notes = (f"{visible(str(path), 200)}: {_CHANGED}" for path in changed)
        return replace(self._recipe, notes=(*self._recipe.notes, *notes))

    def _texts(self) -> list[bytes]:
        return [_text(path) for path in self._paths]


def _paths(recipe: Recipe) -> list[Path]:
    """The recipe's own file, where there is one, and the configuration of its folder."""
    origin, folder = Path(recipe.origin), recipe.weights
    places = [origin] if origin.suffix in (".toml", ".json") else []
    if folder is not None:
        places.append(folder / (PARAMS if (folder / PARAMS).is_file() else CONFIG))
    return list(dict.fromkeys(places))


def _text(path: Path) -> bytes:
    """Empty if it can't be read."""
    with suppress(InputError):
        return read_bounded(path, MAX_CONFIG_BYTES)
    return b""

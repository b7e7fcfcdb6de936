"""Whether the files that a recipe was read from still say what they did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tracetui.errors import InputError
from tracetui.file_kinds import is_gguf
from tracetui.file_state import FileState, settled_state, state_of
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
        self._read: dict[Path, tuple[FileState | None, bytes]] = {}
        self._first = self._seen = self._texts()

    @property
    def is_news(self) -> bool:
        """Whether one of the files has changed since they were last read."""
        return self._texts() != self._seen

    def recipe(self, reread: Sequence[Path] = ()) -> Recipe:
        """The recipe, with a note on each file that has changed since the start, and on those that are read anew."""
        self._seen = self._texts()
        changed = (
            path for path, first, seen in zip(self._paths, self._first, self._seen, strict=True) if first != seen
        )
        notes = (f"{visible(str(path), 200)}: {_CHANGED}" for path in changed)
        return replace(self._recipe, notes=(*self._recipe.notes, *notes, *_reread(reread)))

    def _texts(self) -> list[bytes]:
        return [self._text(path) for path in self._paths]

    def _text(self, path: Path) -> bytes:
        """What a file says, read anew only if it was written."""
        state = state_of(path)
        if path not in self._read or self._read[path][0] != state:
            self._read[path] = settled_state(path), _text(path)
        return self._read[path][1]


def _reread(paths: Sequence[Path]) -> Iterator[str]:
    if len(paths) > 1:
        more = "another file" if len(paths) == 2 else f"{len(paths) - 1:,} more files"
        yield f"{visible(str(paths[0]), 200)} and {more} were changed while open; this run reads them as they are now"
    elif paths:
        yield f"{visible(str(paths[0]), 200)}: was changed while it was open; this run reads it as it is now"


def _paths(recipe: Recipe) -> list[Path]:
    """The recipe's own file, where there is one, and the configuration of its folder or file of weights."""
    origin, weights = Path(recipe.origin), recipe.weights
    places = [origin] if origin.suffix in (".toml", ".json") else []
    if weights is not None and weights.is_file():
        places.append(weights)
    elif weights is not None:
        places.append(weights / (PARAMS if (weights / PARAMS).is_file() else CONFIG))
    return list(dict.fromkeys(places))


def _text(path: Path) -> bytes:
    """What a file says of its model; empty if it can't be read."""
    with suppress(InputError):
        return _gguf_text(path) if is_gguf(path) else read_bounded(path, MAX_CONFIG_BYTES)
    return b""


def _gguf_text(path: Path) -> bytes:
    # Only who has such a file needs what reads it.
    from tracetui.formats.gguf.files import read_files
    from tracetui.recipe.gguf.config import gguf_config

    return repr(gguf_config(read_files(path))).encode()

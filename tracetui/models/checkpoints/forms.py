"""The forms of checkpoint that are read, and how each is recognised; nothing here needs torch before one is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui.models.checkpoints.safetensors.shards import find_shards
from tracetui.models.checkpoints.weight_files import find_checkpoint
from tracetui.recipe import Recipe
from tracetui.recipe.folder import has_gguf_form, has_meta_form

if TYPE_CHECKING:
    from tracetui.models.checkpoints.protocol import Checkpoint

OpenCheckpoint = Callable[[Path, Mapping[str, object], str], "Checkpoint"]
"""From a folder, or a file that is a model by itself, the model's configuration in transformers' fields, and where that
was read from, for messages."""


@dataclass(frozen=True, slots=True)
class CheckpointForm:
    """A way in which weights lie in a folder."""

    recognises: Callable[[Path], bool]
    check: Callable[[Path], object]
    """Raises InputError for a folder that lacks the form's files, before anything large is imported."""
    open: OpenCheckpoint
    """Raises InputError for files that are not what they should be."""


def _open_meta(folder: Path, config: Mapping[str, object], origin: str) -> Checkpoint:
    from tracetui.models.checkpoints.meta import open_meta_checkpoint

    return open_meta_checkpoint(folder, config)


def _check_gguf(path: Path) -> None:
    from tracetui.recipe.gguf.recipe import check_gguf

    check_gguf(path)


def _open_gguf(path: Path, config: Mapping[str, object], origin: str) -> Checkpoint:
    from tracetui.models.checkpoints.gguf.checkpoint import open_gguf

    return open_gguf(path)


def _open_safetensors(folder: Path, config: Mapping[str, object], origin: str) -> Checkpoint:
    from tracetui.models.checkpoints.safetensors.folder import SafetensorsFolder

    return SafetensorsFolder(folder, config, origin)


FORMS = (
    CheckpointForm(has_gguf_form, _check_gguf, _open_gguf),
    CheckpointForm(has_meta_form, find_checkpoint, _open_meta),
    CheckpointForm(lambda folder: True, find_shards, _open_safetensors),
)
"""The first that recognises a path reads it; the last says what is missing from a folder without any weights."""


def check_weight_files(recipe: Recipe) -> None:
    """Refuse a recipe whose folder holds no weights. Raises InputError."""
    if recipe.weights is not None:
        _form_of(recipe.weights).check(recipe.weights)


def open_checkpoint(recipe: Recipe) -> Checkpoint | None:
    """The weights of a recipe, whatever form they have; None if it has none. Raises InputError."""
    folder = recipe.weights
    return None if folder is None else _form_of(folder).open(folder, recipe.config, recipe.origin)


def _form_of(folder: Path) -> CheckpointForm:
    return next(form for form in FORMS if form.recognises(folder))

"""From what a user calls a model to its recipe."""

from __future__ import annotations

import difflib
from pathlib import Path

from tracetui import paths
from tracetui.errors import InputError
from tracetui.recipe.bounded import read_json_object
from tracetui.recipe.meta import llama_config, unknown_fields
from tracetui.recipe.model import BUILTIN_TOKENIZER, Layers, Recipe
from tracetui.recipe.toml import read_recipe
from tracetui.text import visible

WALK_THROUGH = "the answer to the ultimate question of life, the universe, and everything is "


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with tracetui, by name."""
    return {path.stem: path for path in sorted(paths.demo_configs().glob("*.toml"))}


def load_recipe(model: str) -> Recipe:
    """The recipe of a shipped name, a TOML file, or a folder with Meta's params.json (or a file in it).

    Raises InputError; for an unknown name it lists those that exist, nearest first.
    """
    shipped = shipped_recipes()
    if model in shipped:
        return read_recipe(shipped[model])
    path = Path(model).expanduser()
    try:
        is_folder, exists = bool(model) and path.is_dir(), bool(model) and path.exists()
    except (OSError, ValueError):
        is_folder = exists = False
    if is_folder:
        return _folder_recipe(path)
    if exists and (path.name == "params.json" or path.suffix == ".pth"):
        return _folder_recipe(path.parent)
    if exists or path.suffix == ".toml":
        return read_recipe(path)
    raise InputError(_unknown(model, list(shipped)))


def _folder_recipe(folder: Path) -> Recipe:
    """What a folder with Meta's files implies; the checkpoint itself is opened when its weights are needed."""
    params_file = folder / "params.json"
    if not params_file.is_file():
        seen = "config.json is there, which this version doesn't read yet" if (folder / "config.json").exists() else ""
        raise InputError(f"{folder}: params.json: is missing, a folder in Meta's form has one{seen and f' ({seen})'}")
    params = read_json_object(params_file)
    config = llama_config(params, params_file)
    tokenizer = folder / "tokenizer.model"
    count = config["num_hidden_layers"]
    assert isinstance(count, int)
    return Recipe(
        name=folder.resolve().name,
        title="Llama, Meta's files",
        origin=str(folder),
        config=config,
        layers=Layers(0, count),
        tokenizer=str(tokenizer) if tokenizer.exists() else BUILTIN_TOKENIZER,
        weights=folder,
        prompt=WALK_THROUGH,
        notes=tuple(
            f"params.json: {visible(field, 60)} is not known and read over" for field in unknown_fields(params)
        ),
    )


def _unknown(model: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(model, known, n=len(known), cutoff=0.0)
    listed = ", ".join(nearest) or "none"
    return (
        f"{visible(model, 80)}: no such model; there are {listed}, or give a recipe file or a folder with params.json"
    )

"""From what a user calls a model to its recipe."""

from __future__ import annotations

import difflib
from pathlib import Path

from tracetui import paths
from tracetui.errors import InputError
from tracetui.recipe.folder import CONFIG, PARAMS, SAFETENSORS, config_recipe, folder_recipe
from tracetui.recipe.model import Recipe
from tracetui.recipe.toml import read_recipe
from tracetui.text import visible


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with tracetui, by name."""
    return {path.stem: path for path in sorted(paths.demo_configs().glob("*.toml"))}


def load_recipe(model: str) -> Recipe:
    """The recipe of a shipped name, a TOML file, a folder with a model (or a file of its weights), or a config.json.

    A config.json alone means random weights. Raises InputError; for an unknown name it lists those that exist,
    nearest first.
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
        return folder_recipe(path)
    if exists and (path.name in (PARAMS, *SAFETENSORS) or path.suffix in (".pth", ".safetensors")):
        return folder_recipe(path.parent)
    if path.name == CONFIG or (exists and path.suffix == ".json"):
        return config_recipe(path)
    if exists or path.suffix == ".toml":
        return read_recipe(path)
    raise InputError(_unknown(model, list(shipped)))


def _unknown(model: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(model, known, n=len(known), cutoff=0.0)
    listed = ", ".join(nearest) or "none"
    return (
        f"{visible(model, 80)}: no such model; there are {listed}, or give a recipe file, a folder with a model, "
        f"or a config.json"
    )

"""From what a user calls a model to its recipe."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from tracetui import paths
from tracetui.errors import InputError
from tracetui.file_kinds import GGUF_SUFFIX, check_may_be_recipe, is_gguf, lone_weights
from tracetui.recipe.factory import factory_recipe, parse_factory
from tracetui.recipe.folder import CONFIG, PARAMS, SAFETENSORS, config_recipe, folder_recipe, has_config
from tracetui.recipe.hub import HubId, cached_gguf, hub_recipe, parse_hub_id
from tracetui.recipe.model import Recipe
from tracetui.recipe.package_models import PACKAGE_MODELS, package_recipe
from tracetui.recipe.toml import read_recipe
from tracetui.text import visible

if TYPE_CHECKING:
    from tracetui.recording.trace import RunInfo


_OF_WEIGHTS = (GGUF_SUFFIX, ".pth", ".safetensors")


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with tracetui, by name."""
    return {path.stem: path for path in sorted(paths.demo_configs().glob("*.toml"), key=_stem)}


def load_recipe(model: str, code: bool = False) -> Recipe:
    """The recipe of a shipped name, a model in a package, a TOML file, a folder with a model (or a file of its
    weights), a GGUF file, a config.json, or a hub id whose files are in the hub's cache.

    A config.json alone means random weights. code: whether `my_file.py:build_model` will do too, whose code is run
    for the model; only where a user names it themselves. Raises InputError; for an unknown
    name it lists those that exist and names the nearest.
    """
    if (factory := parse_factory(model)) is not None:
        if not code:
            raise InputError(f"{visible(model, 200)}: is code; only `tracetui run` and `tracetui trace` run it")
        return factory_recipe(factory)
    if (hub_id := find_hub_id(model)) is not None:
        folder = cached_gguf(hub_id)
        return hub_recipe(hub_id) if folder is None else folder_recipe(folder)
    shipped = shipped_recipes()
    if model in shipped:
        return read_recipe(shipped[model])
    path = paths.expanded(model)
    exists = _exists(path, model)
    if model in PACKAGE_MODELS and not exists:
        return package_recipe(model)
    if exists and path.is_dir():
        return folder_recipe(path)
    if path.name == CONFIG or (exists and path.suffix == ".json" and path.name not in (PARAMS, *SAFETENSORS)):
        return config_recipe(path)
    if path.suffix == ".toml":
        return read_recipe(path)
    if exists:
        return _of_file(path)
    raise InputError(_unknown(model, path, [*shipped, *PACKAGE_MODELS]))


def _of_file(path: Path) -> Recipe:
    """The recipe of a file of a folder with a model, or the one that a file of any name is."""
    if is_gguf(path):
        from tracetui.recipe.gguf.recipe import gguf_recipe

        return gguf_recipe(path)
    if path.name in (PARAMS, *SAFETENSORS) or path.suffix in (".pth", ".safetensors"):
        if not has_config(path.parent):
            raise lone_weights(path)
        return folder_recipe(path.parent)
    check_may_be_recipe(path)
    return read_recipe(path)


def _meant(path: Path) -> str:
    """The file of the same folder whose name is nearest to one that isn't there."""
    try:
        names = [each.name for each in path.parent.iterdir() if each.suffix in _OF_WEIGHTS]
    except (OSError, ValueError):
        return ""
    nearest = difflib.get_close_matches(path.name, names, n=1)
    return f", is {visible(nearest[0], 80)} meant?" if nearest else ""


def _stem(path: Path) -> str:
    return path.stem


def names_model(name: str) -> bool:
    """Whether what is no file is what a model is called: a shipped recipe, a package's model, or an id on the hub."""
    return name in PACKAGE_MODELS or name in shipped_recipes() or parse_hub_id(name) is not None


def find_hub_id(model: str) -> HubId | None:
    """The id on the hub that a user means; None for a shipped recipe and for whatever is on disk."""
    hub_id = None if parse_factory(model) else parse_hub_id(model)
    return None if hub_id is None or model in shipped_recipes() or _exists(Path(model), model) else hub_id


def _exists(path: Path, model: str) -> bool:
    try:
        return bool(model) and path.exists()
    except (OSError, ValueError):
        return False


def _unknown(model: str, path: Path, known: list[str]) -> str:
    if path.suffix in _OF_WEIGHTS:
        return f"{visible(model, 200)}: no such file{_meant(path)}"
    nearest = difflib.get_close_matches(model, known, n=1)
    problem = f"no such model, is {nearest[0]} meant? there are" if nearest else "no such model; there are"
    return (
        f"{visible(model, 80)}: {problem} {', '.join(known)}, or give a recipe file, a .gguf file, "
        f"a folder with a model, a config.json, a hub id (owner/name), or my_file.py:build_model"
    )


def recorded_name(run: RunInfo) -> str:
    """What is typed to run its model again; empty of a program's own model and of a recipe whose file isn't known."""
    weights = str(run.recipe.get("weights", ""))
    if run.model in PACKAGE_MODELS or run.model in shipped_recipes():
        return run.model
    if run.recipe.get("layout") == "gguf":
        return weights  # the model is called so without the ending
    known = run.recipe.get("hub") or weights == run.model or (run.recipe and parse_factory(run.model) is not None)
    return run.model if known else ""

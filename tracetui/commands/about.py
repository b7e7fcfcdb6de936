"""Commands that tell about models, configurations and folders; nothing runs."""

from __future__ import annotations

from argparse import Namespace

from tracetui import paths
from tracetui.commands.load import load
from tracetui.recipe import load_recipe, shipped_recipes
from tracetui.recipe.options import flag_of, with_options


def models(said: Namespace) -> int:
    """List the recipes that ship with tracetui."""
    for name in shipped_recipes():
        recipe = load_recipe(name)
        layers = f"{len(recipe.layers)} of {recipe.layer_count} layers"
        if len(recipe.layers) == recipe.layer_count:
            layers = f"{recipe.layer_count} layers"
        print(f"{name:<24}{recipe.title}  ({layers}, {recipe.dtype})")
    return 0


def outline(said: Namespace) -> int:
    """Show a checkpoint's structure: shapes, parameter counts, and other implementations' names."""
    recipe = with_options(load(said), flag_of, layers=said.layers)
    from tracetui.models.structure import read_structure
    from tracetui.views.outline_lines import outline_json, outline_lines

    structure = read_structure(recipe, said.layout, only_built=said.layers is not None)
    for line in outline_json(structure) if said.json else outline_lines(structure, said.layout):
        print(line)
    return 0


def config(said: Namespace) -> int:
    """Explain a configuration: every field, its meaning, the shapes that it decides, contradictions."""
    recipe = load(said)
    from tracetui.models.config_help.report import read_config
    from tracetui.views.config_lines import config_lines

    for line in config_lines(read_config(recipe)):
        print(line)
    return 0


def locate(said: Namespace) -> int:
    """Name a folder; for themes the shipped one first, then the user's own."""
    own = paths.config_dir()
    folders = {
        "config": [own],
        "themes": [paths.themes(), own / "themes"],
        "state": [paths.state_dir()],
        "cache": [paths.cache_dir()],
    }
    for folder in folders[said.what]:
        print(folder)
    return 0

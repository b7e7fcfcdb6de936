"""Commands that tell about models, configurations and folders; nothing runs."""

from __future__ import annotations

from argparse import Namespace

from tracetui import paths
from tracetui.commands.load import load
from tracetui.debugger.home.costs import COSTS
from tracetui.recipe import load_recipe, shipped_recipes
from tracetui.recipe.options import flag_of, with_options
from tracetui.recipe.package_models import PACKAGE_MODELS


def models(arguments: Namespace) -> int:
    """List the recipes that ship with tracetui."""
    for name in shipped_recipes():
        recipe = load_recipe(name)
        layers = f"{len(recipe.layers)} of {recipe.layer_count} layers"
        if len(recipe.layers) == recipe.layer_count:
            layers = f"{recipe.layer_count} layers"
        print(f"{name:<24}{recipe.title}  ({layers}, {recipe.dtype}{f'; {COSTS[name]}' if name in COSTS else ''})")
    for name, model in PACKAGE_MODELS.items():
        availability = "installed" if model.path() else f"{model.size}: {model.install}"
        print(f"{name:<24}{model.title}  ({availability})")
    return 0


def outline(arguments: Namespace) -> int:
    """Show a checkpoint's structure: shapes, parameter counts, and other implementations' names."""
    recipe = with_options(load(arguments), flag_of, layers=arguments.layers)
    from tracetui.models.structure import read_structure
    from tracetui.views.outline_lines import outline_json, outline_lines

    structure = read_structure(recipe, arguments.layout, only_built=arguments.layers is not None)
    for line in outline_json(structure) if arguments.json else outline_lines(structure, arguments.layout):
        print(line)
    return 0


def config(arguments: Namespace) -> int:
    """Explain a configuration: every field, its meaning, the shapes that it decides, contradictions."""
    recipe = load(arguments)
    from tracetui.models.config_help.report import read_config
    from tracetui.views.config_lines import config_lines

    for line in config_lines(read_config(recipe)):
        print(line)
    return 0


def locate(arguments: Namespace) -> int:
    """Name a folder; for themes the shipped one first, then the user's own; for native the compiled library."""
    from tracetui.native import library

    own = paths.config_dir()
    places: dict[str, list[object]] = {
        "config": [own],
        "themes": [paths.themes(), own / "themes"],
        "state": [paths.state_dir()],
        "cache": [paths.cache_dir()],
        "native": [library.PATH if library.library() else "none: statistics are computed by numpy"],
    }
    for name in [arguments.what] if arguments.what else places:
        for place in places[name]:
            print(place if arguments.what else f"{name:<8}{place}")
    return 0

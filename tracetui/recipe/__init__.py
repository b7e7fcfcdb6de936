"""What to build and run: a name, a file or a folder read into one frozen, checked Recipe."""

from tracetui.recipe.find import find_hub_id, load_recipe, shipped_recipes
from tracetui.recipe.model import DTYPES, Layers, Overrides, Recipe, parse_bytes, parse_layers

__all__ = [
    "DTYPES",
    "Layers",
    "Overrides",
    "Recipe",
    "find_hub_id",
    "load_recipe",
    "parse_bytes",
    "parse_layers",
    "shipped_recipes",
]

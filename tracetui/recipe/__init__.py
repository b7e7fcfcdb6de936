"""What to build and run: a name, a file or a folder read into one frozen, checked Recipe."""

from tracetui.recipe.batch_file import read_batch
from tracetui.recipe.find import find_hub_id, load_recipe, shipped_recipes
from tracetui.recipe.generation import Generation, check_generation, parse_stop
from tracetui.recipe.model import DTYPES, Layers, Recipe, parse_bytes, parse_layers
from tracetui.recipe.prompts import Prompts, check_rows, parse_ids, parse_random, texts

__all__ = [
    "DTYPES",
    "Generation",
    "Layers",
    "Prompts",
    "Recipe",
    "check_generation",
    "check_rows",
    "find_hub_id",
    "load_recipe",
    "parse_bytes",
    "parse_ids",
    "parse_layers",
    "parse_random",
    "parse_stop",
    "read_batch",
    "shipped_recipes",
    "texts",
]

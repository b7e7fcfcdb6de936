"""The options of a run: each once, for the command line, for Python, for recipe files and for the docs."""

from tracetui.recipe.options.applied import Values, apply_options, read_options, with_options
from tracetui.recipe.options.option import Group, Naming, Option, keyword
from tracetui.recipe.options.table import OPTIONS, PLACE_FLAGS, flag_of

__all__ = [
    "OPTIONS",
    "PLACE_FLAGS",
    "Group",
    "Naming",
    "Option",
    "Values",
    "apply_options",
    "flag_of",
    "keyword",
    "read_options",
    "with_options",
]

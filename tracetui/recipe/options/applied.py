"""A recipe with a run's options in place of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracetui.errors import InputError
from tracetui.recipe.generation import PROMPT_ALONE, check_generation
from tracetui.recipe.model import Recipe, parse_layers
from tracetui.recipe.options.option import Naming, keyword
from tracetui.recipe.options.table import OPTIONS
from tracetui.recipe.prompts import Prompts

RANDOM = "random"
_OF_A_RECIPE = ("layers", "dtype", "weights", "device", "memory", "mla")
"""Options that mean nothing for a model which somebody's own code makes."""
_ROWS = ("prompt", "prompts", "tokens", "random_tokens")
"""What says what is run; a run has one of them."""


Values = Mapping[str, Any]
"""Options' checked values by name, of those that were given."""


def with_options(recipe: Recipe, named: Naming = keyword, **options: Any) -> Recipe:
    """The recipe with options in place, by their names in OPTIONS; None leaves the recipe's own.

    named: what an error calls an option. Raises InputError naming the option, and TypeError for a name that is none.
    """
    return apply_options(recipe, read_options(options, named), named)


def read_options(options: Mapping[str, Any], named: Naming) -> Values:
    """What was given, checked as far as that needs no recipe; None stands for nothing. Raises as `with_options`."""
    if unknown := options.keys() - OPTIONS.keys():
        raise TypeError(f"{min(unknown)!r} is no option of a run; there are {', '.join(OPTIONS)}")
    return {name: OPTIONS[name].read(value, named(name)) for name, value in options.items() if value is not None}


def apply_options(recipe: Recipe, values: Values, named: Naming) -> Recipe:
    """The recipe with what was read in place of its own. Raises InputError naming the option."""
    _check_factory(recipe, values, named)
    changes: dict[str, Any] = {"prompts": _prompts(recipe.prompts, values, named)}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        field, dot, part = OPTIONS[name].into.partition(".")
        if dot:
            parts.setdefault(field, {})[part] = value
        elif field:
            changes[field] = value
    if "layers" in values:
        changes["layers"] = parse_layers(values["layers"], recipe.layer_count, named("layers"))
    if "weights" in values:
        changes["weights"] = None if values["weights"] == RANDOM else Path(values["weights"])
    if "mla" in values:
        changes["mla_from"] = named("mla")
    if "room" in parts:
        changes["room"] = replace(recipe.room, **parts["room"])
    if "generation" in parts:
        changes["generation"] = check_generation(replace(PROMPT_ALONE, **parts["generation"]), named)
    return replace(recipe, **changes)


def _check_factory(recipe: Recipe, values: Values, named: Naming) -> None:
    """Raises InputError for an option about what a file's code makes."""
    own = [name for name in _OF_A_RECIPE if name in values]
    if recipe.factory is not None and own:
        raise InputError(f"{named(own[0])}: the code in {recipe.factory.path.name} decides that")


def _prompts(own: Prompts, values: Values, named: Naming) -> Prompts:
    """What is run, and how texts are taken."""
    chosen = _rows(own, values, named)
    chat = values.get("chat", False) or chosen.chat
    if values.get("chat") and not chosen.texts:
        raise InputError(f"{named('chat')}: needs texts; token ids go through no template")
    if "system" in values and not chat:
        raise InputError(f"{named('system')}: is a message of a chat; give {named('chat')} too")
    system, specials = values.get("system", chosen.system), values.get("special", chosen.specials)
    return replace(chosen, chat=chat, system=system, specials=specials)


def _rows(own: Prompts, values: Values, named: Naming) -> Prompts:
    names = [name for name in _ROWS if name in values]
    if len(names) > 1:
        raise InputError(f"{' and '.join(map(named, names))}: a run has one of them")
    if not names:
        return own
    rows = values[names[0]]
    if names[0] == "random_tokens":
        return Prompts(random=rows)
    return Prompts(ids=rows) if names[0] == "tokens" else replace(own, texts=rows, ids=(), random=None)

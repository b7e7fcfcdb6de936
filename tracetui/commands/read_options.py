"""A command line's options read into a recipe and its stops; nothing here imports torch before it must."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracetui.commands.load import load
from tracetui.debugger.memory.note import NO_NOTE, SessionNote
from tracetui.debugger.memory.restored import stops_beside
from tracetui.errors import InputError
from tracetui.expr.stop import DEFAULT_STOPS, Stop
from tracetui.paths import read_bounded
from tracetui.recipe import Recipe, read_batch
from tracetui.recipe.hub import HUB, with_cached_weights
from tracetui.recipe.options import OPTIONS, PLACE_FLAGS, Group, apply_options, flag_of, read_options

MAX_PROMPT_BYTES = 2**20
_READ_APART = ("batch", "stops", "default_stops")
"""Options of a run that are no part of its recipe as they are given."""


def read_recipe(arguments: Namespace, last: SessionNote = NO_NOTE) -> Recipe:
    """What a run's options ask for, and where they say nothing, what was remembered of last time.

    Weights on the hub are fetched if they ask for that. Raises InputError.
    """
    values = read_options(_given(arguments), flag_of)
    recipe = _as_last_time(load(arguments), arguments, last)
    recipe = apply_options(recipe, values, flag_of)
    from tracetui.models.checkpoints.forms import check_weight_files

    if arguments.weights == HUB:
        from tracetui.hub.fetch import with_weights

        return with_weights(recipe, arguments.offline)
    recipe = with_cached_weights(recipe) if arguments.weights is None else recipe
    check_weight_files(recipe)
    return recipe


def read_stops(arguments: Namespace, last: Sequence[Stop] = DEFAULT_STOPS) -> tuple[Stop, ...]:
    """Where the run is to wait; a wrong one is refused before anything is loaded."""
    stops = OPTIONS["stops"]
    return stops_beside(stops.read(arguments.stops or (), stops.flag), arguments.default_stops is not False, last)


def check_places(recipe: Recipe, stops: Sequence[Stop], goes_on: bool = False) -> None:
    """Refuse sites, heads and the like that the model can't have, before it is built. Raises InputError.

    goes_on: the run has no last pass.
    """
    from tracetui.expr.model_facts import check_all
    from tracetui.recipe.model_facts import facts_of_recipe

    check_all(stops, recipe.edits, recipe.keep, facts_of_recipe(recipe, goes_on), PLACE_FLAGS)


def gives_prompts(arguments: Namespace) -> bool:
    """Whether the command line itself says what is run."""
    return any(
        getattr(arguments, option.name) is not None
        for option in OPTIONS.values()
        if option.alternative and option.on_the_command_line
    )


def gives_generation(arguments: Namespace) -> bool:
    """Whether the command line itself says how a run goes on."""
    return any(
        getattr(arguments, option.name) is not None for option in OPTIONS.values() if option.group is Group.GENERATION
    )


def takes_prompts(arguments: Namespace, last: SessionNote) -> bool:
    """Whether last time's prompts come back: a chat needs texts."""
    if gives_prompts(arguments) or last.prompts is None:
        return False
    return bool(last.prompts.texts or not arguments.chat)


def _as_last_time(recipe: Recipe, arguments: Namespace, last: SessionNote) -> Recipe:
    """The recipe with what it was run with last time."""
    if last.prompts is not None and takes_prompts(arguments, last):
        recipe = replace(recipe, prompts=last.prompts)
    return replace(recipe, generation=last.generation)


def _given(arguments: Namespace) -> dict[str, Any]:
    """The options by name as they were given; None for those that weren't."""
    options = (option for option in OPTIONS.values() if option.on_the_command_line)
    values = {option.name: getattr(arguments, option.name) for option in options if option.name not in _READ_APART}
    if values["weights"] == HUB:
        values["weights"] = None
    values["prompt"] = read_prompts(values["prompt"])
    if arguments.batch is not None:
        values["prompt"] = read_batch(Path(arguments.batch))
    return values


def read_prompts(texts: Sequence[str] | None) -> list[str] | None:
    """Prompts as they were given, those that name a file read from it. Raises InputError."""
    return None if texts is None else [_prompt(text) for text in texts]


def _prompt(text: str) -> str:
    """A prompt, or what is in the file that it names after an @."""
    if not text.startswith("@"):
        return text
    path = Path(text[1:])
    try:
        return read_bounded(path, MAX_PROMPT_BYTES, any_text=True).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"--prompt: {path}: is not UTF-8 text, at byte {error.start}") from error

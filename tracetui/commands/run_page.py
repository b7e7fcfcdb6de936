"""What `tracetui run` is to run, and what its screen begins with."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING

from tracetui.commands.read_options import check_places, gives_prompts, read_recipe, read_stops
from tracetui.commands.restore_session import last_of, name_of, recalled

if TYPE_CHECKING:
    from tracetui.debugger.start_page import StartPage
    from tracetui.recipe import Recipe


def run_offer(arguments: Namespace) -> tuple[Recipe, StartPage]:
    """What `tracetui run` is to run, and what its screen begins with. Raises InputError."""
    given_stops = read_stops(arguments)  # a wrong one is refused before anything is read
    last = last_of(name_of(arguments.model), arguments.fresh, arguments.reset_layout)
    stops = read_stops(arguments, last.note.stops)
    recipe = read_recipe(arguments, last.note)
    check_places(recipe, given_stops, goes_on=True)
    # Textual paints at most so often; at its own 60 the numbers of a step come a frame or two late.
    os.environ.setdefault("TEXTUAL_FPS", "120")
    from tracetui.commands.start_page import page_of_recipe

    offer = page_of_recipe(recipe, stops, recalled(arguments, last, recipe, stops))
    return recipe, replace(offer, begins=_begins(arguments, recipe))


def _begins(arguments: Namespace, recipe: Recipe) -> bool:
    """Whether the prompt was given with the command, so that nobody waits for it to be given again.

    A chat waits all the same: what the template makes of it is shown before it runs.
    """
    prompts = recipe.prompts
    empty = prompts.one_text and not prompts.text.strip()
    return gives_prompts(arguments) and not (prompts.chat or empty)

"""The model that a command line names, read into a recipe."""

from __future__ import annotations

from argparse import Namespace

from tracetui.recipe import Recipe, find_hub_id, load_recipe
from tracetui.recipe.hub import HUB

_RUNNING = ("run", "trace")
"""Commands that run a model, and so a file's code that makes one."""


def load(arguments: Namespace) -> Recipe:
    """The model's recipe; one on the hub that isn't here yet is fetched if the user wants it."""
    if (hub_id := find_hub_id(arguments.model)) is not None:
        from tracetui.hub.fetch import ensure_config

        ensure_config(hub_id, asked=getattr(arguments, "weights", None) == HUB, offline=arguments.offline)
    return load_recipe(arguments.model, code=arguments.command in _RUNNING)

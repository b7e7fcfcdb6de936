"""The model that a command line names, read into a recipe."""

from __future__ import annotations

from argparse import Namespace

from tracetui.recipe import Recipe, find_hub_id, load_recipe
from tracetui.recipe.hub import HUB

_RUNNING = ("run", "trace")
"""Commands that run a model, and so a file's code that makes one."""


def load(said: Namespace) -> Recipe:
    """The model's recipe; one on the hub that isn't here yet is fetched if the user wants it."""
    if (hub_id := find_hub_id(said.model)) is not None:
        from tracetui.hub.fetch import ensure_config

        ensure_config(hub_id, asked=getattr(said, "weights", None) == HUB, offline=said.offline)
    return load_recipe(said.model, code=said.command in _RUNNING)

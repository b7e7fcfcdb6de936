"""Models that can be run at once: the recipes that ship with tracetui, and those in the hub's cache."""

from __future__ import annotations

import math
from contextlib import suppress

from tracetui.debugger.home.costs import COLUMNS, COSTS
from tracetui.debugger.home.hub_cache import cached_models
from tracetui.debugger.home.rows import HomeRow, HomeSection
from tracetui.errors import TracetuiError
from tracetui.recipe import load_recipe, shipped_recipes
from tracetui.recipe.package_models import PACKAGE_MODELS
from tracetui.text import size


def shipped_section() -> HomeSection:
    """The recipes, the cheapest first, with what a run of their own prompt takes."""
    rows = [(COSTS.get(name), _recipe_row(name)) for name in shipped_recipes()]
    for name, model in PACKAGE_MODELS.items():
        if model.path() is not None:
            rows.append((COSTS.get(name), HomeRow(name, model.title, _cost(name), ("run", name))))
    rows.sort(key=lambda row: row[0].memory if row[0] else math.inf)
    return HomeSection("Models that ship with tracetui", tuple(row for _, row in rows), aside=COLUMNS)


def hub_section() -> HomeSection:
    """Models on the hub whose configuration is in its cache on this machine."""
    rows = [
        HomeRow(str(model.id), "with weights" if model.weights else "its configuration alone", size(model.size),
                ("run", str(model.id)))
        for model in cached_models()
    ]  # fmt: skip
    return HomeSection("In the hub's cache", tuple(rows), aside="on disk")


def _recipe_row(name: str) -> HomeRow:
    title = ""
    with suppress(TracetuiError):
        title = load_recipe(name).title
    return HomeRow(name, title, _cost(name), ("run", name))


def _cost(name: str) -> str:
    return COSTS[name].columns if name in COSTS else ""

"""The options of `tracetui.trace` for a recipe, as the command line has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tracetui.expr.edit import Edit
from tracetui.expr.stop import Stop
from tracetui.recipe import Recipe, find_hub_id, load_recipe
from tracetui.recipe.hub import HUB, with_cached_weights
from tracetui.recipe.options import OPTIONS, apply_options, keyword, read_options
from tracetui.recording.keep import Keep

Ids = Sequence[int] | Sequence[Sequence[int]]
"""Token ids of one prompt, or of each prompt of a batch."""
Kept = str | Sequence[str]
"""`all`, `stats`, or one or more patterns of sites such as `*.self_attn:*`."""


def chosen_recipe(model: str, **options: Any) -> Recipe:
    """The recipe of a name, file, folder or hub id with the options in place.

    Raises InputError naming the option, and TypeError for a keyword that is no option.
    """
    if unknown := [name for name in options if name not in OPTIONS or not OPTIONS[name].in_python]:
        known = ", ".join(option.name for option in OPTIONS.values() if option.in_python)
        raise TypeError(f"trace() takes no option {unknown[0]!r} for a recipe; there are {known}")
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    weights = options.get("weights")
    if weights == HUB:
        options["weights"] = None
    values = read_options(options, keyword)
    recipe = apply_options(_load(model, weights == HUB, offline), values, keyword)
    if weights == HUB:
        from tracetui.hub.fetch import with_weights

        return with_weights(recipe, offline)
    return with_cached_weights(recipe) if weights is None else recipe


def edits_of(edits: str | Sequence[str]) -> tuple[Edit, ...]:
    """What is changed, from texts such as `layers.3.mlp: zero`. Raises InputError."""
    changes: tuple[Edit, ...] = OPTIONS["edits"].read(edits, "edits")
    return changes


def stops_of(stops: str | Sequence[str]) -> tuple[Stop, ...]:
    """Where a run is to stop, from texts such as `*.mlp if norm > 100`. Raises InputError."""
    places: tuple[Stop, ...] = OPTIONS["stops"].read(stops, "stops")
    return places


def keep_of(keep: Kept) -> Keep:
    """What is kept, from `all`, `stats` or patterns. Raises InputError."""
    kept: Keep = OPTIONS["keep"].read(keep, "keep")
    return kept


def attention_of(attention: str) -> str:
    """Which matrices are recorded. Raises InputError for a word that is none of them."""
    matrices: str = OPTIONS["attention"].read(attention, "attention")
    return matrices


def _load(model: str, fetch: bool, offline: bool) -> Recipe:
    """Nothing is fetched, and nobody asked, unless the weights shall come from the hub."""
    if fetch and (hub_id := find_hub_id(model)) is not None:
        from tracetui.hub.fetch import ensure_config

        ensure_config(hub_id, asked=True, offline=offline)
    return load_recipe(model, code=True)

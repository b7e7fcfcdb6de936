"""What a command fetches of a model on the hub before it begins: nothing without a yes or `--weights hub`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tracetui.errors import InputError
from tracetui.hub.online import endpoint, online
from tracetui.hub.whole_files import Listing, check_size, fetch_config, fetch_files, list_files
from tracetui.recipe import Recipe
from tracetui.recipe.folder import SAFETENSORS
from tracetui.recipe.hub import (
    HUB,
    HubId,
    cached_gguf,
    cached_snapshot,
    complete_weights,
    lacks_tokenizer,
    missing_shards,
)
from tracetui.recipe.shard_index import MAX_INDEX_BYTES, read_weight_map
from tracetui.startup_line import startup_line
from tracetui.text import visible

_FORBIDDEN = "HF_HUB_OFFLINE is set, and so nothing is fetched; unset it for this command"


def ensure_config(hub_id: HubId, *, asked: bool, offline: bool) -> None:
    """Have a model's config.json and tokenizer in the hub's cache, if the user asked or says yes to the question.

    A missing config.json that stays so is for the caller to tell of. Raises InputError, RunError.
    """
    folder = cached_snapshot(hub_id)
    if cached_gguf(hub_id) is not None or (folder is not None and not (asked and lacks_tokenizer(hub_id))):
        return
    if offline:
        if folder is None:
            missing = "is no recipe, file or folder, and as a model on the hub it isn't in the local cache"
            raise InputError(f"{hub_id}: {missing}; {_FORBIDDEN}")
        return
    if asked or _says_yes(hub_id):
        with online(hub_id):
            # The files of one model go together, even if it has changed since the first was fetched.
            fetch_config(hub_id if folder is None else HubId(hub_id.repo, folder.name))


def with_weights(recipe: Recipe, offline: bool) -> Recipe:
    """The recipe with its commit's own weights, fetched as far as they aren't here: all, or those of its layers.

    Raises InputError, RunError.
    """
    if not recipe.hub:
        raise InputError(f"--weights {HUB}: {recipe.name} is no model on the hub; ./{HUB} would be a folder of yours")
    if (folder := complete_weights(recipe)) is not None:
        return replace(recipe, weights=folder)
    hub_id = HubId(recipe.hub, recipe.commit)
    if offline:
        raise InputError(f"{recipe.name}: its weights aren't all here, and {_FORBIDDEN}")
    _check_runs(recipe)
    with online(hub_id):
        listing = list_files(hub_id)
        return replace(recipe, weights=_fetch_weights(listing, recipe))


def _check_runs(recipe: Recipe) -> None:
    """Refuse before anything large is fetched what would be refused after it."""
    import torch

    from tracetui.models.build import build_model
    from tracetui.models.checkpoints.quantised.method import read_method

    read_method(recipe.config, recipe.origin)
    build_model(recipe, torch.bfloat16)


def _fetch_weights(listing: Listing, recipe: Recipe) -> Path:
    single, index = SAFETENSORS
    whole = len(recipe.layers) == recipe.layer_count
    if single in listing.sizes:
        return fetch_files(listing, [single]) if whole else _fetch_layers(listing, recipe, None)
    if index not in listing.sizes:
        raise InputError(
            f"{listing.hub_id.repo}: --weights {HUB}: has no {single} on the hub, and nothing else is fetched; "
            f"--weights random runs the model without"
        )
    check_size(listing, index, MAX_INDEX_BYTES)
    folder = fetch_files(listing, [index])
    shards = missing_shards(folder, recipe.layers) or []
    for name in shards:
        if name not in listing.sizes or not name.endswith(".safetensors"):
            name_text = visible(name, 80)
            raise InputError(
                f"{listing.hub_id.repo}: {index}: names {name_text}, which is no safetensors file of the hub's"
            )
    return fetch_files(listing, shards) if whole else _fetch_layers(listing, recipe, read_weight_map(folder / index))


def _fetch_layers(listing: Listing, recipe: Recipe, weight_map: Mapping[str, str] | None) -> Path:
    # Imports torch, which knows the dtypes' sizes.
    from tracetui.hub.layers import fetch_layers

    return fetch_layers(listing, recipe.layers, weight_map)


def _says_yes(hub_id: HubId) -> bool:
    """Ask on the terminal; without one nobody says yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    where = visible(endpoint(), 80)
    question = f"{hub_id} isn't on this machine. Fetch config.json and tokenizer, a few MB, from {where}? [y/N] "
    startup_line.end()
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")

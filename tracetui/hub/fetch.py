"""What a command fetches of a model on the hub before it begins: nothing without a yes or `--weights hub`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from tracetui.errors import InputError
from tracetui.hub.online import endpoint, online
from tracetui.hub.whole_files import Listing, fetch_config, fetch_files, list_files
from tracetui.recipe import Recipe
from tracetui.recipe.folder import SAFETENSORS
from tracetui.recipe.hub import HUB, HubId, cached_layers, cached_snapshot, lacks_tokenizer, missing_shards

_FORBIDDEN = "HF_HUB_OFFLINE is set, and so nothing is fetched; unset it for this command"


def ensure_config(hub_id: HubId, *, asked: bool, offline: bool) -> None:
    """Have a model's config.json and tokenizer in the hub's cache, if the user asked or says yes to the question.

    A missing config.json that stays so is for the caller to tell of. Raises InputError, RunError.
    """
    folder = cached_snapshot(hub_id)
    if folder is not None and not (asked and lacks_tokenizer(hub_id)):
        return
    if asked and offline:
        if folder is None:
            raise InputError(f"{hub_id}: isn't in the hub's cache, and {_FORBIDDEN}")
        return
    if asked or (not offline and _says_yes(hub_id)):
        with online(hub_id):
            # The files of one model go together, even if it has changed since the first was fetched.
            fetch_config(hub_id if folder is None else HubId(hub_id.repo, folder.name))


def with_weights(recipe: Recipe, offline: bool) -> Recipe:
    """The recipe with its commit's own weights, fetched as far as they aren't here: all, or those of its layers.

    Raises InputError, RunError.
    """
    if not recipe.hub:
        raise InputError(f"--weights {HUB}: {recipe.name} is no model on the hub; ./{HUB} would be a folder of yours")
    found = cached_layers(recipe)
    if found.weights is not None and missing_shards(found.weights, recipe.layers) == []:
        return found
    hub_id = HubId(recipe.hub, recipe.commit)
    if offline:
        raise InputError(f"{recipe.name}: its weights aren't all here, and {_FORBIDDEN}")
    with online(hub_id):
        listing = list_files(hub_id)
        return replace(recipe, weights=_fetch_all(listing, recipe))


def _fetch_all(listing: Listing, recipe: Recipe) -> Path:
    single, index = SAFETENSORS
    if single in listing.sizes:
        return fetch_files(listing, [single])
    if index not in listing.sizes:
        raise InputError(
            f"{listing.hub_id.repo}: --weights {HUB}: has no {single} on the hub, and nothing else is fetched; "
            f"--weights random runs the model without"
        )
    folder = fetch_files(listing, [index])
    shards = missing_shards(folder, recipe.layers) or []
    if absent := [name for name in shards if name not in listing.sizes]:
        raise InputError(f"{listing.hub_id.repo}: {index}: names {absent[0]}, which the hub doesn't have")
    return fetch_files(listing, shards) if shards else folder


def _says_yes(hub_id: HubId) -> bool:
    """Ask on the terminal; without one nobody says yes."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    question = f"{hub_id} isn't on this machine. Fetch config.json and tokenizer, a few MB, from {endpoint()}? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")

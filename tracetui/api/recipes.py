"""The options of `tracetui.trace` for a recipe, as the command line has them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracetui.errors import InputError
from tracetui.expr.edit import Edit
from tracetui.expr.edit_parse import parse_edits
from tracetui.expr.replacement import check_sources
from tracetui.expr.stop import Stop, parse_stops
from tracetui.recipe import (
    Generation,
    Overrides,
    Prompts,
    Recipe,
    check_generation,
    check_rows,
    find_hub_id,
    load_recipe,
    parse_bytes,
    parse_ids,
)
from tracetui.recipe.hub import HUB, with_cached_weights
from tracetui.recipe.prompts import check_random
from tracetui.trace.keep import Keep, Room, check_folder, parse_keep

Ids = Sequence[int] | Sequence[Sequence[int]]
"""Token ids of one prompt, or of each prompt of a batch."""
Kept = str | Sequence[str]
"""`all`, `stats`, or one or more patterns of sites such as `*.self_attn:*`."""
_PROMPTING = frozenset({"prompt", "prompts", "tokens", "random_tokens", "chat", "system", "special"})


def chosen_recipe(
    model: str,
    *,
    layers: int | str | None = None,
    weights: str | Path | None = None,
    tokenizer: str | Path | None = None,
    dtype: str | None = None,
    seed: int | None = None,
    mla: str | None = None,
    memory: str | int | None = None,
    keep: Kept = "all",
    attention: str = "qkv",
    values: str | int | None = None,
    spill: str | int | None = None,
    spill_folder: str | Path | None = None,
    **said: Any,
) -> Recipe:
    """The recipe of a name, file, folder or hub id with the options in place.

    said: what is run, as `_chosen_prompts` takes it, and how it goes on, as `_generation` does. Raises InputError
    naming the option.
    """
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    prompting = {name: said.pop(name) for name in _PROMPTING & said.keys()}
    recipe = _load(model, weights == HUB, offline)
    recipe = Overrides(
        layers=_text(layers),
        dtype=dtype,
        seed=seed,
        tokenizer=_text(tokenizer),
        weights=None if weights == HUB else _text(weights),
        prompts=_chosen_prompts(recipe.prompts, **prompting),
        memory=_text(memory),
        mla=mla,
        keep=keep_of(keep),
        attention=attention,
        room=_room(values, spill, spill_folder),
        generation=_generation(**said) if said else None,
    ).apply(recipe)
    if weights == HUB:
        from tracetui.hub.fetch import with_weights

        return with_weights(recipe, offline)
    return with_cached_weights(recipe) if weights is None else recipe


def _generation(
    *,
    generate: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    sample_seed: int | None = None,
    eos: Sequence[int] | None = None,
) -> Generation:
    stop = None if eos is None else tuple(eos)
    return check_generation(Generation(generate or 0, temperature, top_k, top_p, sample_seed, stop))


def edits_of(edits: str | Sequence[str]) -> tuple[Edit, ...]:
    """What is changed, from texts such as `layers.3.mlp: zero`. Raises InputError."""
    found = parse_edits([edits] if isinstance(edits, str) else edits, "edits")
    check_sources(found, "edits")
    return found


def stops_of(stops: str | Sequence[str]) -> tuple[Stop, ...]:
    """Where a run is to stop, from texts such as `*.mlp if norm > 100`. Raises InputError."""
    return parse_stops([stops] if isinstance(stops, str) else stops, "stops")


def _room(values: str | int | None, spill: str | int | None, folder: str | Path | None) -> Room:
    return Room(
        memory=None if values is None else parse_bytes(str(values), "values"),
        disk=None if spill is None else parse_bytes(str(spill), "spill"),
        folder=None if folder is None else check_folder(Path(folder), "spill_folder"),
    )


def keep_of(keep: Kept) -> Keep:
    """What is kept, from `all`, `stats` or patterns. Raises InputError."""
    return parse_keep([keep] if isinstance(keep, str) else list(keep), "keep")


def _load(model: str, fetch: bool, offline: bool) -> Recipe:
    """Nothing is fetched, and nobody asked, unless the weights shall come from the hub."""
    if fetch and (hub_id := find_hub_id(model)) is not None:
        from tracetui.hub.fetch import ensure_config

        ensure_config(hub_id, asked=True, offline=offline)
    return load_recipe(model, code=True)


def _chosen_prompts(
    own: Prompts,
    *,
    prompt: str | None = None,
    prompts: Sequence[str] | None = None,
    tokens: Ids | None = None,
    random_tokens: tuple[int, int] | None = None,
    chat: bool = False,
    system: str | None = None,
    special: bool = True,
) -> Prompts:
    chosen = _prompts(own, prompt, prompts, tokens, random_tokens)
    if (chat or system is not None) and not chosen.texts:
        raise InputError("chat: needs texts; token ids go through no template")
    if system is not None and not (chat or chosen.chat):
        raise InputError("system: is a message of a chat; give chat=True too")
    system = chosen.system if system is None else system
    return replace(chosen, chat=chat or chosen.chat, system=system, specials=special)


def _prompts(
    own: Prompts,
    prompt: str | None,
    prompts: Sequence[str] | None,
    tokens: Ids | None,
    random: tuple[int, int] | None,
) -> Prompts:
    """What is to be run: what was said, else the recipe's own."""
    given = {"prompt": prompt, "prompts": prompts, "tokens": tokens, "random_tokens": random}
    said = [name for name, value in given.items() if value is not None]
    if len(said) > 1:
        raise InputError(f"{' and '.join(said)}: a run has one of them")
    if random is not None:
        return Prompts(random=check_random(*random, "random_tokens"))
    if tokens is not None:
        rows = _rows(tokens)
        check_rows(len(rows), "tokens")
        return Prompts(ids=tuple(parse_ids(",".join(map(str, row)), "tokens") for row in rows))
    if not said:
        return own
    texts = tuple(prompts or ()) if prompt is None else (prompt,)
    if isinstance(prompts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError("prompts: must be a list of texts")
    check_rows(len(texts), "prompts")
    return replace(own, texts=texts, ids=(), random=None)


def _rows(tokens: Ids) -> list[Sequence[int]]:
    if not tokens or isinstance(tokens[0], int):
        return [[int(token) for token in tokens if isinstance(token, int)]]
    return [row for row in tokens if not isinstance(row, int)]


def _text(said: str | int | Path | None) -> str | None:
    return None if said is None else str(said)

"""The command line's words read into a recipe and its stops; nothing here imports torch before it must."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tracetui.commands.load import load
from tracetui.errors import InputError
from tracetui.expr.edit import Edit
from tracetui.expr.stop import DEFAULT_STOPS, Stop, parse_stops
from tracetui.last_time.note import NO_NOTE, Note
from tracetui.last_time.recalled import stops_beside
from tracetui.paths import read_bounded
from tracetui.recipe import (
    Generation,
    Overrides,
    Prompts,
    Recipe,
    check_generation,
    check_rows,
    parse_bytes,
    parse_ids,
    parse_random,
    parse_stop,
    read_batch,
)
from tracetui.recipe.hub import HUB, with_cached_weights
from tracetui.trace.keep import Room, check_folder, parse_keep

MAX_PROMPT_BYTES = 2**20


def read_recipe(said: Namespace, last: Note = NO_NOTE) -> Recipe:
    """What a run's options ask for, and where they say nothing, what was remembered of last time.

    Weights on the hub are fetched if they ask for that. Raises InputError.
    """
    recipe = load(said)
    overrides = Overrides(
        layers=said.layers,
        dtype=said.dtype,
        seed=said.seed,
        tokenizer=said.tokenizer,
        weights=None if said.weights == HUB else said.weights,
        prompts=_taken(said, _prompts(said, _offered(said, recipe.prompts, last))),
        memory=said.memory,
        mla=said.mla,
        keep=None if said.keep is None else parse_keep(said.keep, "--keep"),
        attention=said.attention,
        room=_room(said),
        generation=_generation(said) if says_generation(said) else last.generation,
        lens=said.lens,
        edits=_edits(said.edits or ()),
    )
    recipe = overrides.apply(recipe)
    from tracetui.models.weight_files import check_weight_files

    if said.weights == HUB:
        from tracetui.hub.fetch import with_weights

        return with_weights(recipe, said.offline)
    recipe = with_cached_weights(recipe) if said.weights is None else recipe
    check_weight_files(recipe)
    return recipe


def read_stops(said: Namespace, last: Sequence[Stop] = DEFAULT_STOPS) -> tuple[Stop, ...]:
    """Where the run is to wait; a wrong one is refused before anything is loaded."""
    return stops_beside(parse_stops(said.stops or (), "--break"), said.default_stops, last)


def _generation(said: Namespace) -> Generation:
    return check_generation(
        Generation(
            count=0 if said.generate is None else said.generate,
            temperature=said.temperature,
            top_k=said.top_k,
            top_p=said.top_p,
            seed=said.sample_seed,
            stop=None if said.eos is None else parse_stop(said.eos, "--eos"),
        )
    )


def _edits(said: Sequence[str]) -> tuple[Edit, ...]:
    """What the run changes; `@F.npz` stands for the edits of a recorded run."""
    if not said:
        return ()
    from tracetui.expr.edit_parse import check_edits, parse_edit
    from tracetui.expr.replacement import check_sources

    found: list[Edit] = []
    for text in said:
        if text.startswith("@"):
            from tracetui.recipe.again import edits_of
            from tracetui.trace.dumps import open_recorded

            found.extend(edits_of(open_recorded(Path(text[1:])), text[1:]))
        else:
            found.append(parse_edit(text, "--edit"))
    check_sources(found, "--edit")
    return check_edits(found, "--edit")


def _room(said: Namespace) -> Room:
    return Room(
        memory=None if said.values is None else parse_bytes(said.values, "--values"),
        disk=None if said.spill is None else parse_bytes(said.spill, "--spill"),
        folder=None if said.spill_folder is None else check_folder(Path(said.spill_folder), "--spill-folder"),
    )


def _taken(said: Namespace, prompts: Prompts) -> Prompts:
    """The prompts with what the command line says about how to take texts."""
    chat = said.chat or prompts.chat
    if said.chat and not prompts.texts:
        raise InputError("--chat: needs texts; token ids go through no template")
    if said.system is not None and not chat:
        raise InputError("--system: is a message of a chat; give --chat too")
    system = prompts.system if said.system is None else said.system
    return replace(prompts, chat=chat, system=system, specials=said.special and prompts.specials)


def says_prompts(said: Namespace) -> bool:
    """Whether the command line itself says what is run."""
    return any(given is not None for given in (said.prompt, said.batch, said.tokens, said.random_tokens))


def says_generation(said: Namespace) -> bool:
    options = (said.generate, said.temperature, said.top_k, said.top_p, said.sample_seed, said.eos)
    return any(given is not None for given in options)


def takes_prompts(said: Namespace, last: Note) -> bool:
    """Whether last time's prompts come back: a chat needs texts."""
    return not says_prompts(said) and last.prompts is not None and bool(last.prompts.texts or not said.chat)


def _offered(said: Namespace, own: Prompts, last: Note) -> Prompts:
    return last.prompts if last.prompts is not None and takes_prompts(said, last) else own


def _prompts(said: Namespace, own: Prompts) -> Prompts:
    """What is to be run: what the command line says, else the recipe's own."""
    if said.random_tokens is not None:
        return Prompts(random=parse_random(said.random_tokens, "--random-tokens"))
    if said.tokens is not None:
        check_rows(len(said.tokens), "--tokens")
        return Prompts(ids=tuple(parse_ids(row, "--tokens") for row in said.tokens))
    if said.batch is not None:
        return replace(own, texts=read_batch(Path(said.batch)), random=None)
    if said.prompt is None:
        return own
    check_rows(len(said.prompt), "--prompt")
    texts = tuple(map(_prompt, said.prompt))
    if len(texts) > 1 and not all(texts):
        raise InputError(f"--prompt: row {texts.index('')} is empty; every row of a batch is a prompt")
    return replace(own, texts=texts, random=None)


def _prompt(said: str) -> str:
    if not said.startswith("@"):
        return said
    path = Path(said[1:])
    try:
        return read_bounded(path, MAX_PROMPT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"--prompt: {path}: is not UTF-8 text, at byte {error.start}") from error

"""What is restored from the last session of a model or a recording, beside what the command line says."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path

from tracetui import paths
from tracetui.commands.read_options import gives_generation, gives_prompts, takes_prompts
from tracetui.debugger.memory.keeper import Keeper
from tracetui.debugger.memory.note import NO_NOTE, ScreenLayout, SessionNote
from tracetui.debugger.memory.restored import NOTHING_RECALLED, Restored, in_words
from tracetui.debugger.memory.store import NOTHING_FOUND, NoteStore, StoredNote
from tracetui.debugger.memory.switch import switched_off
from tracetui.expr.stop import Stop
from tracetui.recipe import Recipe, find_hub_id, shipped_recipes
from tracetui.recipe.generation import PROMPT_ALONE
from tracetui.recipe.package_models import PACKAGE_MODELS


@dataclass(frozen=True, eq=False, slots=True)
class Last:
    """A file of last time, looked into."""

    store: NoteStore | None = None
    found: StoredNote = NOTHING_FOUND
    fresh: bool = False
    """Whether the file doesn't hold what is remembered from here on."""

    @property
    def note(self) -> SessionNote:
        return self.found.note

    def keeper(self, bare: SessionNote | None) -> Keeper | None:
        """The keeper of this session; it writes no file as long as nothing but `bare` was ever set, None: at once."""
        if self.store is None or not self.found.writable:
            return None
        return Keeper(self.store, None if self.fresh else self.note if self.found.there else bare)


def last_of(what: str, fresh: bool, reset_layout: bool = False) -> Last:
    """What is remembered of a thing; with `fresh` the file isn't even read, with `reset_layout` all but the layout."""
    if switched_off():
        return Last()
    store = NoteStore(what)
    store.touch()
    stored = NOTHING_FOUND if fresh else store.read()
    if reset_layout:
        stored = replace(stored, note=replace(stored.note, layout=ScreenLayout()))
    return Last(store, stored, fresh or (reset_layout and stored.there))


def name_of(model: str) -> str:
    """What a model is remembered by: the same for a folder from wherever it is named."""
    if model in shipped_recipes() or (model in PACKAGE_MODELS and not paths.expanded(model).exists()):
        return f"recipe {model}"
    return f"hub {model}" if find_hub_id(model) is not None else f"path {_whole(paths.expanded(model))}"


def recording_name(path: Path) -> str:
    return f"recording {_whole(path)}"


def _whole(path: Path) -> str:
    return os.path.normpath(path.absolute())


def recalled(arguments: Namespace, last: Last, recipe: Recipe, stops: tuple[Stop, ...]) -> Restored:
    """For the screen over a model that runs with these stops."""
    takes = takes_prompts(arguments, last.note)
    plain = (
        not (gives_prompts(arguments) or arguments.chat or arguments.system is not None)
        and arguments.special is not False
    )
    own = recipe.prompts if plain and not takes else None
    note = replace(
        last.note,
        stops=tuple(stop for stop in stops if stop.text in {known.text for known in last.note.stops}),
        prompts=last.note.prompts if takes else None,
        generation=PROMPT_ALONE if gives_generation(arguments) else last.note.generation,
    )
    text = in_words(note) if last.found.there else ""
    kept = replace(last.note, generation=recipe.generation)
    return Restored(kept, last.found.remarks, last.keeper(NO_NOTE), own, text)


def recalled_recording(last: Last) -> Restored:
    """What is restored for a recording's screen; that it was open is remembered, whatever was set."""
    if last.store is None:
        return NOTHING_RECALLED
    text = in_words(replace(last.note, prompts=None)) if last.found.there else ""
    return Restored(last.note, last.found.remarks, last.keeper(None), told=text)

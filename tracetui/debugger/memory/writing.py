"""A note as the bytes of its file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace

from tracetui.debugger.memory.note import PaneSizes, ScreenLayout, SessionNote
from tracetui.expr.edit import MOST_EDITS
from tracetui.expr.stop import MOST_STOPS
from tracetui.recipe.generation import PROMPT_ALONE, Generation
from tracetui.recipe.prompts import Prompts

FORMAT = 1
FORMAT_KEY = "tracetui_session"
MAX_BYTES = 2**20
MOST_WATCHES = 100
MOST_EARLIER = 50
MOST_OPENED = 500


def written(note: SessionNote, model: str) -> bytes:
    """The file's content, at most MAX_BYTES: where it would be more, texts run before go first, then the prompt."""
    shorter = replace(note, earlier=())
    for fitting in (note, shorter, replace(shorter, prompts=None)):
        content = json.dumps({FORMAT_KEY: FORMAT, "model": model, **_plain(fitting)}, indent=1).encode("ascii")
        if len(content) < MAX_BYTES:
            break
    return content + b"\n"


def _plain(note: SessionNote) -> dict[str, object]:
    return {
        "stops": [{"stop": stop.text, "on": stop.on, "once": stop.once} for stop in note.stops[:MOST_STOPS]],
        "watches": [watch.text for watch in note.watches[:MOST_WATCHES]],
        "edits": [edit.text for edit in note.edits[:MOST_EDITS]],
        "prompts": None if note.prompts is None else _prompts(note.prompts),
        "earlier": _encodable(note.earlier[-MOST_EARLIER:]),
        "generation": None if note.generation == PROMPT_ALONE else _generation(note.generation),
        "more": note.more,
        "layout": _layout(note.layout),
        "finding": note.finding,
    }


def _prompts(prompts: Prompts) -> dict[str, object]:
    if prompts.random:
        rows: dict[str, object] = {"random": list(prompts.random)}
    elif prompts.ids:
        rows = {"ids": [list(row) for row in prompts.ids]}
    else:
        rows = {"texts": _encodable(prompts.texts)}
    return {**rows, "chat": prompts.chat, "system": prompts.system, "specials": prompts.specials}


def _encodable(texts: Iterable[str]) -> list[str]:
    """Texts without the halves of characters that a terminal may send, and no tokenizer takes."""
    return [text.encode("utf-8", "replace").decode("utf-8") for text in texts]


def _generation(generation: Generation) -> dict[str, object]:
    found = {name: value for name, value in asdict(generation).items() if value is not None}
    return found if generation.stop is None else {**found, "stop": list(generation.stop)}


def _layout(layout: ScreenLayout) -> dict[str, object]:
    found = {name: value for name, value in asdict(layout).items() if value and name not in ("maps", "opened", "sizes")}
    if layout.opened is not None:
        found["opened"] = list(layout.opened[:MOST_OPENED])
    if layout.maps:
        found["maps"] = [asdict(each) for each in layout.maps]
    if layout.sizes != PaneSizes():
        found["sizes"] = {name: value for name, value in asdict(layout.sizes).items() if value is not None}
    return found

"""Where the files of a tokenizer are looked for; never on the network."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.formats.gguf.files import file_in
from tracetui.models.tokenizers.families import Family
from tracetui.paths import config_dir, inside

_PUBLISHED = "https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"


def find_rank_file(family: Family) -> Path:
    """The rank file of a named encoding, from tiktoken's cache, the current folder or the user's own.

    Raises InputError that lists every place looked at.
    """
    name = family.file or family.name
    places = [*_cached(name), Path.cwd() / f"{name}.tiktoken", config_dir() / f"{name}.tiktoken"]
    for place in places:
        if place.is_file() and _is_trusted(place):
            return place
    looked = ", ".join(str(place) for place in places)
    raise InputError(f"tokenizer: {family.name}: its rank file is not at hand; looked for {looked}")


def _cached(name: str) -> list[Path]:
    """tiktoken's cached file of that encoding: named by the hash of its address; an empty variable means no cache."""
    default = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    key = hashlib.sha1(_PUBLISHED.format(name=name).encode(), usedforsecurity=False).hexdigest()
    return [Path(folder) / key] if folder else []


def _is_trusted(place: Path) -> bool:
    """Whether a file is this user's or the system's: tiktoken's cache lies in a folder that anybody may make."""
    return place.stat().st_uid in (os.getuid(), 0)


def in_folder(folder: Path) -> Path:
    """The tokenizer file of a model's folder; Meta's own form (with a params.json) goes by its rank file."""
    names = ["tokenizer.json", "tokenizer.model"]
    if (folder / "params.json").is_file():
        names.reverse()
    for name in names:
        if (path := inside(folder, name)).is_file():
            return path
    if (packed := file_in(folder)) is not None:
        return packed
    raise bad_field(folder, "tokenizer", "the folder has no tokenizer.json, tokenizer.model or GGUF file")

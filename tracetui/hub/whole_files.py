"""Whole files of a model, by huggingface_hub into the cache that it shares with other programs."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tracetui
from tracetui.errors import InputError, RunError
from tracetui.formats.table import MAX_CONFIG_BYTES
from tracetui.hub.online import SECONDS, endpoint
from tracetui.hub.progress import FetchLine, bar_class
from tracetui.recipe.folder import CONFIG, TOKENIZER
from tracetui.recipe.hub import HubId, download_command, is_cached, is_commit
from tracetui.text import size, visible

TOKENIZER_FILES = (TOKENIZER, "tokenizer_config.json", "chat_template.jinja")
_MAX_TOKENIZER_BYTES = 256 * 2**20
_SPARE_BYTES = 2**26
"""Left free on a disk that is fetched to."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What the hub has of a model at one commit."""

    hub_id: HubId
    commit: str
    sizes: Mapping[str, int]
    """Bytes of each file, by name."""

    @property
    def pinned(self) -> HubId:
        """The id with this very commit."""
        return HubId(self.hub_id.repo, self.commit)


def list_files(hub_id: HubId) -> Listing:
    """Ask the hub for a model's commit and files."""
    from huggingface_hub import HfApi

    from tracetui.hub.answers import listing

    with listing() as headers:
        api = HfApi(endpoint=endpoint(), library_name="tracetui", library_version=tracetui.__version__, headers=headers)
        model = api.model_info(hub_id.repo, revision=hub_id.revision, files_metadata=True, timeout=SECONDS)
    if not isinstance(model.sha, str) or not is_commit(model.sha):
        raise RunError(f"{endpoint()}: names no commit of {hub_id}; is it a hub?")
    return Listing(hub_id, model.sha, dict(_sizes(model.siblings or [])))


def _sizes(siblings: Iterable[object]) -> Iterator[tuple[str, int]]:
    for file in siblings:
        name, size = getattr(file, "rfilename", None), getattr(file, "size", None) or 0
        if not isinstance(name, str) or not isinstance(size, int) or size < 0:
            raise RunError(f"{endpoint()}: lists a file {visible(repr(name), 80)} of {visible(repr(size), 40)} bytes")
        yield name, size


def fetch_config(hub_id: HubId) -> Path:
    """Bring config.json and the tokenizer's files into the hub's cache; returns their folder there."""
    listing = list_files(hub_id)
    if CONFIG not in listing.sizes:
        raise InputError(_without_config(listing))
    check_size(listing, CONFIG, MAX_CONFIG_BYTES)
    names = [CONFIG, *(name for name in TOKENIZER_FILES if name in listing.sizes)]
    for name in names[1:]:
        check_size(listing, name, _MAX_TOKENIZER_BYTES)
    folder = fetch_files(listing, names)
    if TOKENIZER not in listing.sizes:
        _note_absence(listing, TOKENIZER)
    return folder


def fetch_files(listing: Listing, names: Iterable[str]) -> Path:
    """Bring files into the hub's cache, those that are there already left alone; returns their folder there."""
    from huggingface_hub import constants, hf_hub_download

    names = list(names)
    total = sum(listing.sizes[name] for name in names if not is_cached(listing.pinned, name))
    free = check_disk(Path(constants.HF_HUB_CACHE), total)
    line = FetchLine(total)
    line.announce(f"fetching {_files(names)}, {size(total)}, of {listing.hub_id} from {endpoint()}")
    folders = set()
    try:
        for name in names:
            line.file(name, listing.sizes[name] or free)
            path = hf_hub_download(
                listing.hub_id.repo,
                name,
                revision=listing.hub_id.revision,
                library_name="tracetui",
                library_version=tracetui.__version__,
                tqdm_class=bar_class(line),
            )
            folders.add(Path(path).parent)
    finally:
        line.close()
    commits = sorted({folder.name for folder in folders} | {listing.commit})
    if len(commits) > 1:
        raise RunError(f"{listing.hub_id}: was changed on the hub meanwhile, from commit {' to '.join(commits)}")
    return folders.pop()


def _without_config(listing: Listing) -> str:
    """Why a model can't be built of what the hub has, and what to do where that is GGUF files."""
    problem = f"{listing.hub_id}: has no {CONFIG} on the hub"
    files = [name for name in sorted(listing.sizes) if name.endswith(".gguf")]
    if not files:
        return f"{problem}, and so transformers can't build it"
    example = download_command(listing.hub_id, shlex.quote(visible(files[0], 80)))
    return (
        f"{problem} but GGUF files, which aren't fetched by themselves: {_files(files)}; `{example}` fetches one, "
        f"`tracetui run {listing.hub_id}` runs it then"
    )


def check_disk(folder: Path, byte_count: int) -> int:
    """The room on the disk that a folder is or will be on. Raises InputError if it is less than so many bytes."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if byte_count + _SPARE_BYTES > free:
        raise InputError(
            f"{folder}: {size(byte_count)} would be fetched to it and its disk has {size(free)} free; "
            f"free some, take fewer layers (--layers), or name another disk by HF_HUB_CACHE and TRACETUI_CACHE_DIR"
        )
    return max(0, free - _SPARE_BYTES)


def check_size(listing: Listing, name: str, limit: int) -> None:
    """Raise InputError for a file that is larger than such a file may be."""
    if (length := listing.sizes[name]) > limit:
        raise InputError(f"{listing.hub_id}: {name}: may have at most {limit:,} bytes, got {length:,}")


def _note_absence(listing: Listing, name: str) -> None:
    """Have the cache remember that the hub has no such file: nobody is asked about it again."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        hf_hub_download(listing.hub_id.repo, name, revision=listing.commit)
    except EntryNotFoundError:
        return


def _files(names: list[str]) -> str:
    return ", ".join(visible(name, 60) for name in names) if len(names) <= 4 else f"{len(names)} files"

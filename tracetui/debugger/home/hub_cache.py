"""The models that lie in the Hugging Face hub's cache on this machine; nothing here asks the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tracetui.errors import TracetuiError
from tracetui.recipe.hub import HubId, cached_snapshot, has_shards, parse_hub_id

_PREFIX = "models--"
_MOST = 200
_MOST_BLOBS = 2000


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model whose config.json is here."""

    id: HubId
    size: int
    """Bytes on disk, of all its revisions."""
    weights: bool
    """Whether some of its weights are here too."""


def cached_models() -> Iterator[CachedModel]:
    """By name; a folder that can't be read is left out."""
    from huggingface_hub import constants

    with suppress(OSError):
        folders = sorted(islice(Path(constants.HF_HUB_CACHE).glob(f"{_PREFIX}*"), _MOST))
        for folder in folders:
            with suppress(OSError, TracetuiError):
                if (model := _cached_model(folder)) is not None:
                    yield model


def _cached_model(folder: Path) -> CachedModel | None:
    hub_id = parse_hub_id(folder.name.removeprefix(_PREFIX).replace("--", "/", 1))
    snapshot = cached_snapshot(hub_id) if hub_id is not None else None
    if hub_id is None or snapshot is None:
        return None
    blobs = islice((folder / "blobs").glob("*"), _MOST_BLOBS)
    return CachedModel(hub_id, sum(blob.stat().st_size for blob in blobs), has_shards(snapshot))

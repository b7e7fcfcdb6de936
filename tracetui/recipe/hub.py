"""Models named by their id on the Hugging Face hub, found in its cache on this machine; nothing here asks the network.

The cache's layout and its environment variables are huggingface_hub's own affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from tracetui import paths
from tracetui.errors import InputError
from tracetui.formats.table import read_json_object
from tracetui.paths import inside
from tracetui.recipe.folder import CONFIG, SAFETENSORS, TOKENIZER, config_recipe
from tracetui.recipe.model import Layers, Recipe
from tracetui.recipe.shard_index import read_weight_map
from tracetui.recording.record import layer_of
from tracetui.text import visible

HUB = "hub"
"""What a user says instead of a folder to have weights fetched."""
PIECES = "pieces.json"
"""In a folder of fetched layers: the files that each layer needs, there or not."""
_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_ID = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9_][A-Za-z0-9_./-]{{0,199}}))?")
_FILES = (".json", ".toml", ".pth", ".safetensors", ".npz", ".git")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_REFERENCE_BYTES = 1000
_MAX_PIECES_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class HubId:
    """`owner/name`, and the branch, tag or commit that is meant."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"


def parse_hub_id(model: str) -> HubId | None:
    """`owner/name` or `owner/name@revision`; None for what can be no model's id."""
    match = _ID.fullmatch(model)
    if match is None or "--" in model or ".." in model or match[1].endswith(_FILES):
        return None
    return HubId(match[1], match[2] or "main")


def cached_snapshot(hub_id: HubId) -> Path | None:
    """The folder in the hub's cache that has this revision's config.json; it is named by the commit."""
    file = _cached(hub_id, CONFIG)
    return Path(file).parent if isinstance(file, str) else None


def cached_gguf(hub_id: HubId) -> Path | None:
    """The folder in the hub's cache that has GGUF files of this revision and no config.json; None if there is none."""
    if cached_snapshot(hub_id) is not None:
        return None
    model = _model_folder(hub_id)
    reference = model / "refs" / hub_id.revision
    commit = reference.read_text("utf-8", "replace").strip() if reference.is_file() else hub_id.revision
    folder = model / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and any(folder.glob("*.gguf")) else None


def is_cached(hub_id: HubId, name: str) -> bool:
    """Whether a file of a model is in the hub's cache."""
    return isinstance(_cached(hub_id, name), str)


def lacks_tokenizer(hub_id: HubId) -> bool:
    """Whether no tokenizer.json is in the cache, and nobody has found yet that the hub has none."""
    return _cached(hub_id, TOKENIZER) is None


def has_shards(folder: Path) -> bool:
    """Whether some of a model's weights are in a folder."""
    single, index = SAFETENSORS
    if (folder / single).is_file():
        return True
    if not (folder / index).is_file():
        return any(path.is_file() for path in folder.glob("model-*.safetensors"))
    return any(inside(folder, name).is_file() for name in set(read_weight_map(inside(folder, index)).values()))


def missing_shards(folder: Path, layers: Layers) -> list[str] | None:
    """The files that these layers' tensors stand in and the folder lacks; None if nothing there tells their names."""
    single, index = SAFETENSORS
    if (folder / single).is_file():
        return []
    if not (folder / index).is_file():
        return None
    names = {name for tensor, name in read_weight_map(inside(folder, index)).items() if is_wanted(tensor, layers)}
    return sorted(name for name in names if not inside(folder, name).is_file())


def is_wanted(tensor: str, layers: Layers) -> bool:
    """Whether a checkpoint's tensor belongs to one of these layers, or to none."""
    layer = layer_of(tensor)
    return layer is None or layer in layers


def hub_recipe(hub_id: HubId) -> Recipe:
    """What the hub's cache has of a model. Raises InputError saying how to get what is missing."""
    folder = cached_snapshot(hub_id)
    if folder is None:
        raise InputError(not_cached(hub_id))
    recipe = config_recipe(folder / CONFIG, weights=folder if has_shards(folder) else None)
    commit = folder.name
    notes = [*recipe.notes, f"{hub_id}: the hub's commit {commit}"]
    if lacks_tokenizer(hub_id):
        notes.append(f"{TOKENIZER}: isn't in the hub's cache; `{download_command(hub_id, TOKENIZER)}` fetches it")
    kind = visible(str(recipe.config["model_type"]), 40)
    return replace(
        recipe,
        name=str(hub_id),
        title=f"{kind}, from the hub",
        hub=hub_id.repo,
        commit=commit,
        notes=tuple(notes),
    )


def not_cached(hub_id: HubId) -> str:
    """What to type for a model that isn't here yet."""
    return (
        f"{hub_id}: is no recipe, file or folder, and as a model on the hub it isn't in the local cache; "
        f"`{download_command(hub_id, CONFIG, TOKENIZER)}` fetches what its structure and tokenizer are, "
        f"`tracetui run {hub_id} --weights hub` its weights too"
    )


def is_commit(text: str) -> bool:
    """Whether a text is a commit's name as the hub writes it."""
    return _COMMIT.fullmatch(text) is not None


def download_command(hub_id: HubId, *names: str) -> str:
    """What to type at a shell to bring files into the hub's cache."""
    revision = [] if hub_id.revision == "main" else ["--revision", hub_id.revision]
    return " ".join(["hf", "download", hub_id.repo, *names, *revision])


def layers_folder(hub: str, commit: str) -> Path:
    """Where tracetui keeps the layers that it fetched of a model's commit."""
    assert _COMMIT.fullmatch(commit)
    return paths.cache_dir() / "hub" / hub.replace("/", "--") / commit


def fetched_layers(hub: str, commit: str, layers: Layers) -> Path | None:
    """The folder of fetched layers, if all files that these layers need are there."""
    if not _COMMIT.fullmatch(commit) or not ((folder := layers_folder(hub, commit)) / PIECES).is_file():
        return None
    files = needed_pieces(folder, layers)
    return folder if files and all((folder / name).is_file() for name in files) else None


def complete_weights(recipe: Recipe) -> Path | None:
    """A folder on this machine that has all weights of a hub recipe's layers, or None."""
    if recipe.weights is not None and missing_shards(recipe.weights, recipe.layers) == []:
        return recipe.weights
    return fetched_layers(recipe.hub, recipe.commit, recipe.layers)


def with_cached_weights(recipe: Recipe) -> Recipe:
    """A hub recipe with whatever weights are on this machine, the most complete ones."""
    folder = complete_weights(recipe) if recipe.hub else None
    return replace(recipe, weights=folder) if folder else recipe


def needed_pieces(folder: Path, layers: Layers) -> list[str]:
    """The names of a folder's files that hold these layers and what stands outside of all layers."""
    pieces = read_json_object(folder / PIECES, _MAX_PIECES_BYTES)
    keys = {"", *(str(layer) for layer in range(layers.start, layers.stop))}
    lists = [names for layer, names in pieces.items() if layer in keys and isinstance(names, list)]
    return [inside(folder, str(name)).name for names in lists for name in names]


def _cached(hub_id: HubId, name: str) -> object:
    """The path of a cached file; None if it isn't cached; a sentinel if the hub is known not to have it."""
    from huggingface_hub import try_to_load_from_cache

    _check_reference(_model_folder(hub_id) / "refs" / hub_id.revision)
    try:
        return try_to_load_from_cache(hub_id.repo, name, revision=hub_id.revision)
    except (OSError, ValueError) as error:
        raise InputError(f"{hub_id}: the hub's cache can't be read: {visible(str(error), 160)}") from error


def _model_folder(hub_id: HubId) -> Path:
    """Where the hub's cache keeps a model."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=hub_id.repo, repo_type="model")


def _check_reference(path: Path) -> None:
    """huggingface_hub reads whole what says which commit a branch is. Raises InputError if that is no name."""
    try:
        size = path.stat().st_size
    except (OSError, ValueError):
        return
    if path.is_file() and size > _MAX_REFERENCE_BYTES:
        raise InputError(f"{path}: must hold a commit's name, got {size:,} bytes")

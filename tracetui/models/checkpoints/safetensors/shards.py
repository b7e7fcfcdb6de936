"""Which files of a folder hold its weights: one, or several and a list of them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tracetui.errors import InputError, bad_field
from tracetui.paths import inside
from tracetui.recipe.folder import SAFETENSORS
from tracetui.recipe.shard_index import MAX_FILES, read_weight_map

_SINGLE, _INDEX = SAFETENSORS
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_OF = re.compile(r"-of-(\d{5})\.safetensors$")
_REFERENCE = "model0-mp1.safetensors"
_REFERENCE_SHARD = re.compile(r"model\d{1,5}-mp\d{1,5}\.safetensors")
"""What DeepSeek's conversion writes for its reference code: file i of so many slices."""
_BY_GPTQ = re.compile(r"gptq_model-\d+bit-(-1|\d+)g\.safetensors")
"""What AutoGPTQ called its one file."""
_ELSEWHERE = {
    "pytorch_model.bin": "is a pickle, which tracetui doesn't read; save it again as safetensors",
    "pytorch_model.bin.index.json": "lists pickles, which tracetui doesn't read; save them again as safetensors",
}


@dataclass(frozen=True, slots=True)
class Shards:
    """A folder's weight files."""

    label: str
    """What the weights are called in messages: the one file, or the index."""
    present: tuple[Path, ...]
    missing: tuple[tuple[str, int], ...] = ()
    """The files that the index names and the folder lacks, with the number of their tensors."""
    absent: frozenset[str] = frozenset()
    """The names of those tensors."""

    @property
    def is_partial(self) -> bool:
        """Whether files are missing, by the index or by the number that each file's name has of them all."""
        counted = [int(total[1]) for path in self.present if (total := _OF.search(path.name))]
        return bool(self.missing) or len(self.present) < max(counted, default=0)

    def notes(self) -> list[str]:
        """What must be said of files that aren't there, one line each."""
        return [
            f"{name}: is missing, and with it {'one tensor' if count == 1 else f'{count:,} tensors'} by the index"
            for name, count in self.missing
        ]


def find_shards(folder: Path) -> Shards:
    """The weight files of a folder: model.safetensors, else those of the index, else whatever shards lie there.

    The reference code's one file is model0-mp1.safetensors, AutoGPTQ's gptq_model-4bit-128g.safetensors.

    Raises InputError where there are none, and for an index that is not a list of plain file names.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: {_SINGLE}: its folder doesn't exist; --weights random runs the model without it")
    if (single := inside(folder, _SINGLE)).exists():
        return Shards(_SINGLE, (single,))
    if (index := inside(folder, _INDEX)).exists():
        return _listed(folder, index)
    if loose := sorted(path.name for path in folder.glob("model-*.safetensors") if _SHARD.fullmatch(path.name)):
        if len(loose) > MAX_FILES:
            raise InputError(f"{folder}: model-*.safetensors: are {len(loose):,} files, more than {MAX_FILES:,}")
        return Shards("model-*.safetensors", tuple(inside(folder, name) for name in loose))
    if sliced := sorted(
        path.name for path in folder.glob("model*-mp*.safetensors") if _REFERENCE_SHARD.fullmatch(path.name)
    ):
        return _unsliced(folder, sliced)
    named = sorted(path.name for path in folder.glob("gptq_model-*.safetensors") if _BY_GPTQ.fullmatch(path.name))
    if len(named) == 1:
        return Shards(named[0], (inside(folder, named[0]),))
    for name, problem in _ELSEWHERE.items():
        if (folder / name).exists():
            raise InputError(f"{folder}: {name}: {problem}, or run with --weights random")
    raise InputError(f"{folder}: {_SINGLE}: is missing; --weights random runs the model without it")


def _unsliced(folder: Path, names: list[str]) -> Shards:
    if _REFERENCE not in names:
        raise InputError(
            f"{folder}: {names[0]}: holds a slice of every tensor, as for several processes; "
            f"convert the checkpoint again with --model-parallel 1, which makes {_REFERENCE}"
        )
    return Shards(_REFERENCE, (inside(folder, _REFERENCE),))


def _listed(folder: Path, index: Path) -> Shards:
    weight_map = read_weight_map(index)
    counts = Counter(weight_map.values())
    paths = {}
    for name in sorted(counts):
        if not name.endswith(".safetensors"):
            raise bad_field(index, "weight_map", "must name files that end in .safetensors", name)
        try:
            paths[name] = inside(folder, name)
        except InputError as error:
            raise InputError(f"{index}: weight_map: {error}") from None
    present = {name: path for name, path in paths.items() if path.exists()}
    if not present:
        raise InputError(
            f"{index}: weight_map: none of its {len(counts)} files is in the folder, not even {min(counts)}"
        )
    missing = tuple((name, counts[name]) for name in paths if name not in present)
    absent = frozenset(tensor for tensor, name in weight_map.items() if name not in present)
    return Shards(_INDEX, tuple(present.values()), missing, absent)

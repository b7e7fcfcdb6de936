"""The tensors of a folder's safetensors files, by the names that they have there; none of them read yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.quantised.combine import Combined
from tracetui.models.checkpoints.quantised.weight import PackedWeight
from tracetui.models.checkpoints.safetensors.header import Stored, read_header
from tracetui.models.checkpoints.safetensors.shards import Shards, find_shards
from tracetui.models.checkpoints.safetensors.stacked import stacked_experts
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile
from tracetui.recipe.shard_index import MAX_TENSORS
from tracetui.text import visible

FLOATING = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
"""What is converted to the model's dtype as it is."""


class SafetensorsFiles:
    """All headers of a folder, checked."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError for a folder without weights, and for a file that is not what it should be."""
        self.folder = folder
        self.shards: Shards = find_shards(folder)
        self.tensors: dict[str, Stored] = {}
        self.packed: dict[str, PackedWeight] = {}
        """Of the tensors those that are made of several in the file."""
        self._path_of: dict[str, Path] = {}
        self._own_names: dict[str, str] = {}
        self._own_name: Callable[[str], str | None] = self._own_names.get
        # Their state is taken before anything of them is read.
        self._files = {path: WeightFile(path) for path in self.shards.present}
        for path in self.shards.present:
            self._add(path, read_header(path))
        if not self.tensors:
            raise InputError(f"{folder / self.shards.label}: names no tensors; --weights random runs without it")

    def _add(self, path: Path, tensors: Mapping[str, Stored]) -> None:
        for name in tensors:
            if name in self.tensors:
                raise bad_field(path, visible(name, 80), "stands in another file too", self._path_of[name].name)
        if len(self.tensors) + len(tensors) > MAX_TENSORS:
            raise InputError(f"{path}: header: with it the folder has more than {MAX_TENSORS:,} tensors")
        self.tensors.update(tensors)
        self._path_of.update(dict.fromkeys(tensors, path))

    def rename(self, published: Callable[[str], str | None], own: Callable[[str], str | None]) -> None:
        """Have tensors go by their `published` names from now on; those without one keep theirs.

        Raises InputError if two tensors have one name then.
        """
        names = {name: published(name) or name for name in self.tensors}
        self._refuse_same(names)
        self._own_names = {new: self._own_names.get(name, name) for name, new in names.items()}
        self._path_of = {new: self._path_of[name] for name, new in names.items()}
        self.packed = {names[name]: weight for name, weight in self.packed.items()}
        self.tensors = {names[name]: stored for name, stored in self.tensors.items()}
        self._own_name = own

    def _refuse_same(self, names: Mapping[str, str]) -> None:
        """Raises InputError if a tensor's new name is another one's, old or new."""
        if len(names.keys() | names.values()) == len(names) + sum(new != name for name, new in names.items()):
            return
        taken: set[str] = set()
        for name, new in names.items():
            if new in taken or (new != name and new in names):
                raise bad_field(self.path(name), visible(name, 80), "stands there under another name too", new)
            taken.add(new)

    def combine(self, combined: Mapping[str, Combined]) -> None:
        """Have weights stand in place of the tensors that they are made of."""
        for name, made in combined.items():
            parts = [(self.tensors.pop(part), self._path_of.pop(part)) for part in made.parts]
            if made.weight is not None:
                size = sum(stored.stop - stored.start for stored, _ in parts)
                first, path = parts[0]
                self.tensors[name] = Stored(first.dtype, made.weight.shape, 0, size)
                self._path_of[name] = path
                self.packed[name] = made.weight

    def unstack(self) -> None:
        """Have experts that stand stacked in one tensor stand there each by itself.

        Raises InputError for a tensor without experts, and where one stands there in both ways.
        """
        for name, apart in stacked_experts(self.tensors, self.shards.label).items():
            path = self._path_of.pop(name)
            del self.tensors[name]
            for own, stored in apart.items():
                if own in self.tensors:
                    raise bad_field(path, visible(own, 80), "stands there beside the stacked tensor", visible(name, 80))
                self.tensors[own], self._path_of[own], self._own_names[own] = stored, path, name
        if len(self.tensors) > MAX_TENSORS:
            raise InputError(f"{self.folder / self.shards.label}: names more than {MAX_TENSORS:,} tensors of experts")

    def transpose(self, name: str) -> None:
        """Have a matrix stand the other way round."""
        self.packed[name] = weight = self.packed[name].transposed()
        self.tensors[name] = self.tensors[name]._replace(shape=weight.shape)

    def own_name(self, name: str) -> str:
        """What the files call a tensor, there or not."""
        return self._own_names.get(name) or self._own_name(name) or name

    def said(self, name: str) -> str:
        """The same, fit to be shown; of a weight that is made of several the one that tells of its form."""
        packed = self.packed.get(name)
        return packed.label if packed is not None else visible(self.own_name(name), 80)

    def path(self, name: str) -> Path:
        """The file that a tensor stands in."""
        return self._path_of[name]

    @property
    def opened(self) -> tuple[WeightFile, ...]:
        """The files, as they were when their headers were read."""
        return tuple(self._files.values())

    def tensor(self, name: str) -> StoredTensor:
        """A tensor where it lies in its file; of none that is made of several."""
        stored = self.tensors[name]
        return StoredTensor(self._files[self._path_of[name]], stored.dtype, stored.shape, stored.start)

    def parts(self, name: str) -> Mapping[str, StoredTensor]:
        """The tensors that one is made of, by what they are to it; of one that stands there whole itself."""
        packed = self.packed.get(name)
        return {"": self.tensor(name)} if packed is None else packed.parts

    def main_dtype(self) -> torch.dtype | None:
        """The floating dtype that most bytes have; float64 is computed in float32; None if most have none."""
        sizes: Counter[torch.dtype] = Counter()
        for tensor in self.tensors.values():
            sizes[tensor.dtype] += tensor.stop - tensor.start
        most = max(sizes, key=lambda dtype: sizes[dtype], default=None)
        if most not in FLOATING:
            return None
        return torch.float32 if most == torch.float64 else most

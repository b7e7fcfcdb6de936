"""The tensors of a folder's safetensors files, by the names that they have there; none of them read yet."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.mapped_file import Identity, Pages, check_unchanged, identity, map_file
from tracetui.models.safetensors_header import Stored, read_header
from tracetui.models.safetensors_shards import Shards, find_shards
from tracetui.recipe.shard_index import MAX_TENSORS
from tracetui.text import visible

FLOATING = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
"""What is converted to the model's dtype as it is."""


class SafetensorsFiles:
    """All headers of a folder, checked; a file is mapped when the first of its tensors is wanted."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError for a folder without weights, and for a file that is not what it should be."""
        self.folder = folder
        self.shards: Shards = find_shards(folder)
        self.tensors: dict[str, Stored] = {}
        self._path_of: dict[str, Path] = {}
        self._own_names: dict[str, str] = {}
        self._own_name: Callable[[str], str | None] = self._own_names.get
        self._mapped: dict[Path, mmap.mmap] = {}
        self._identities: dict[Path, Identity | None] = {}
        self._pages = Pages()
        for path in self.shards.present:
            self._identities[path] = identity(path)
            self._add(path, read_header(path))

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
        for name in list(self.tensors):
            new = published(name) or name
            if new != name and new in self.tensors:
                raise bad_field(self.path(name), visible(name, 80), "stands there under another name too", new)
            self.tensors[new], self._path_of[new] = self.tensors.pop(name), self._path_of.pop(name)
            self._own_names[new] = self._own_names.pop(name, name)
        self._own_name = own

    def own_name(self, name: str) -> str:
        """What the files call a tensor, there or not."""
        return self._own_names.get(name) or self._own_name(name) or name

    def said(self, name: str) -> str:
        """The same, fit to be shown."""
        return visible(self.own_name(name), 80)

    def path(self, name: str) -> Path:
        """The file that a tensor stands in."""
        return self._path_of[name]

    def view(self, name: str) -> torch.Tensor:
        """A tensor as it lies in the file; what is written to it stays in this process.

        Raises RunError if the file was changed since it was opened.
        """
        stored, path = self.tensors[name], self._path_of[name]
        if not stored.numel:
            return torch.empty(stored.shape, dtype=stored.dtype)
        check_unchanged(path, self._identities[path])
        if path not in self._mapped:
            self._mapped[path] = map_file(path)
        values = torch.frombuffer(self._mapped[path], dtype=stored.dtype, count=stored.numel, offset=stored.start)
        return self._pages.reading(values.view(stored.shape))

    def main_dtype(self) -> torch.dtype | None:
        """The floating dtype that most bytes have; float64 is computed in float32; None if most have none."""
        sizes: Counter[torch.dtype] = Counter()
        for tensor in self.tensors.values():
            sizes[tensor.dtype] += tensor.stop - tensor.start
        most = max(sizes, key=lambda dtype: sizes[dtype], default=None)
        if most not in FLOATING:
            return None
        return torch.float32 if most == torch.float64 else most

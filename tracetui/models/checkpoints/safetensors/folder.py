"""A safetensors folder before its tensors are matched with a model's: what it has, and what of it can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tracetui.formats.collector import collector_paused
from tracetui.models.checkpoints.absent_parts import refuse_absent_parts
from tracetui.models.checkpoints.deepseek_names import has_reference_names, published_name, reference_name
from tracetui.models.checkpoints.quantised.combine import combine
from tracetui.models.checkpoints.quantised.float8 import REFERENCE_BLOCK
from tracetui.models.checkpoints.quantised.method import read_method, refused
from tracetui.models.checkpoints.quantised.unapplied import is_scale, unapplied
from tracetui.models.checkpoints.safetensors.checkpoint import SafetensorsCheckpoint
from tracetui.models.checkpoints.safetensors.files import SafetensorsFiles
from tracetui.models.checkpoints.safetensors.name_forms import by_form
from tracetui.models.checkpoints.safetensors.names import Names, match_names, tied_names
from tracetui.models.checkpoints.safetensors.packed import packed_form
from tracetui.models.checkpoints.safetensors.parts import TextPrefix, embedding_name, other_parts, text_prefix, told
from tracetui.models.checkpoints.safetensors.wholes import renamed_in_whole
from tracetui.models.checkpoints.ties import untie
from tracetui.models.checkpoints.weight_file import StoredTensor
from tracetui.recipe.folder import ADAPTER
from tracetui.recording.record import layer_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SafetensorsFolder:
    """A folder whose headers are read and checked, not matched with a model yet."""

    @collector_paused()
    def __init__(self, folder: Path, config: Mapping[str, object], origin: str) -> None:
        """Raises InputError for a folder without readable weights, and for quantised ones in a form that isn't read."""
        method = read_method(config, origin, folder)
        self._files = SafetensorsFiles(folder)
        self._by_reference = config.get("model_type") == "deepseek_v3" and has_reference_names(self._files.tensors)
        if self._by_reference:
            self._files.rename(by_form(list(self._files.tensors), published_name).get, reference_name)
            method = replace(method, block=method.block or REFERENCE_BLOCK)
        self._method = method
        if method.name == "mlx":
            self._files.unstack()
        self._files.combine(combine(self._files, method))

    @property
    def form(self) -> str:
        """`reference` where the names are those of DeepSeek's reference code."""
        return "reference" if self._by_reference else "huggingface"

    @property
    def dtype(self) -> torch.dtype | None:
        """The floating dtype of most of the file's bytes, for dtype `auto`; None for float8, which doesn't tell."""
        return self._files.main_dtype()

    @collector_paused()
    def source_for(self, model: PreTrainedModel) -> SafetensorsCheckpoint:
        """The folder as the source of a model's weights.

        A model whose configuration ties two tensors that differ in the file is untied, as transformers does.
        """
        names, prefix = self._matched(model)
        unread = [self._files.own_name(name) for name in names.spare]
        others = self._without_other_parts(names, prefix, self._files.own_name) if prefix else []
        if names.spare and not self._by_reference:
            in_whole = renamed_in_whole(model, self._files, list(self._weights()), names)
            if in_whole is not None:
                names = match_names(model, self._weights(), in_whole.kind)
                others = self._without_other_parts(names, in_whole.prefix, in_whole.places.__getitem__)
        self._refuse_packed(model, names)
        notes = [
            *others,
            *self._without_adapter(),
            *_settle_ties(model, names, self._files),
            *self._unapplied(names),
        ]
        self._refuse_absent_parts(model, names, unread)
        self._turn_matrices(model, names)
        return SafetensorsCheckpoint(self._files, names, model, notes)

    def _without_adapter(self) -> Iterator[str]:
        """A line on the adapter that lies beside the weights."""
        if (self._files.folder / ADAPTER).is_file():
            yield f"{ADAPTER}: the adapter beside the weights is not read: this is the model without it"

    def _matched(self, model: PreTrainedModel) -> tuple[Names, TextPrefix | None]:
        """Where the model's tensors stand, and how the text model's names begin in the file."""
        names = match_names(model, self._weights())
        prefix = text_prefix(model, self._files.tensors)
        if prefix is not None and prefix.is_another:
            inner = match_names(model, (prefix.published(name) or name for name in self._weights()))
            if inner.count > names.count:
                self._files.rename(prefix.published, prefix.file_name)
                names = inner
        return names, prefix

    def _refuse_absent_parts(self, model: PreTrainedModel, names: Names, unread: Sequence[str]) -> None:
        """Raises InputError where the file has no whole model; the files that an index names may have the rest."""
        if self._files.shards.is_partial:
            return
        present = {name: name in names.direct or name in names.converted for name, _ in model.named_parameters()}
        path = self._files.folder / self._files.shards.label
        refuse_absent_parts(path, present, unread, embedding_name(model))

    def _weights(self) -> Iterator[str]:
        """The names of all tensors."""
        return iter(self._files.tensors)

    def _without_other_parts(self, names: Names, prefix: TextPrefix, place: Callable[[str], str]) -> list[str]:
        """A line on what the file has beside the text model, which no longer counts as unread.

        place: the name of a tensor in the model of several parts, which its prefix stands before.
        """
        # The reference code's names have been given up for the published ones, whose prefix it is.
        own = {name: name if self._by_reference else self._files.own_name(name) for name in self._files.tensors}
        apart = {
            name for name in names.spare if prefix.is_of_another_part(own[name] if self._by_reference else place(name))
        }
        spare = set(names.spare)
        used = [own[name] for name in self._files.tensors if name not in spare]
        parts = other_parts(used, [own[name] for name in names.spare if name in apart])
        names.spare = [name for name in names.spare if name not in apart]
        return [f"{self._files.shards.label}: not read, no part of this model: {told(parts)}"] if parts else []

    def _refuse_packed(self, model: PreTrainedModel, names: Names) -> None:
        """Raises InputError where quantised tensors stand in place of weights: those would be random."""
        known = names.direct | names.converted
        absent = [name for name, _ in model.named_parameters() if name not in known]
        lacking = {layer_of(name) for name in absent} - {None}
        unasked = (name for name in names.spare if name in self._files.packed and layer_of(name) in lacking)
        if (name := next(unasked, None)) is not None:
            form = f"{self._files.packed[name].form}, under a name that no module here asks for"
            raise refused(self._files.path(name), self._files.said(name), form)
        if (packed := packed_form(names.spare, absent, self._files.tensors)) is not None:
            name, form = packed
            raise refused(self._files.path(name), self._files.said(name), form)

    def _turn_matrices(self, model: PreTrainedModel, names: Names) -> None:
        """Turn the weights of modules that hold them as [inputs, outputs], which quantised files have as of others."""
        for path, module in model.named_modules():
            name = names.direct.get(f"{path}.weight")
            if type(module).__name__ == "Conv1D" and name in self._files.packed and self._files.packed[name].is_linear:
                self._files.transpose(name)

    def _unapplied(self, names: Names) -> Iterator[str]:
        """Lines on what the form says besides weights, of which the tensors no longer count as unread."""
        label = self._files.shards.label
        if self._files.packed or self._method.name or any(map(is_scale, names.spare)):
            names.spare, notes = unapplied(names.spare, self._files)
            yield from (f"{label}: {note}" for note in (*notes, *self._method.notes))


def _settle_ties(model: PreTrainedModel, names: Names, files: SafetensorsFiles) -> list[str]:
    """Give tied tensors one name in the file, or untie those that differ there; returns notes on the untied ones."""
    notes = []
    for first, *others in tied_names(model):
        for other in others:
            if first not in names.direct and other in names.direct:
                names.direct[first] = names.direct[other]
            elif other in names.direct and not _same(files, names.direct[first], names.direct[other]):
                untie(model, other)
                notes.append(f"{other}: differs from {first} in the file, so that they aren't one as the config says")
    return notes


def _same(files: SafetensorsFiles, one: str, other: str) -> bool:
    if one == other:
        return True
    parts, others = files.parts(one), files.parts(other)
    return parts.keys() == others.keys() and all(_equal(part, others[role]) for role, part in parts.items())


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    pairs = zip(one.pieces(), other.pieces(), strict=True)
    return all(torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8)) for a, b in pairs)

"""A safetensors folder's weights as a weight source: only what is asked for is read, straight from the files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.absent_parts import refuse_absent_parts
from tracetui.models.checkpoints.deepseek_names import has_reference_names, published_name, reference_name
from tracetui.models.checkpoints.report import fit, ranges
from tracetui.models.checkpoints.safetensors import quantised
from tracetui.models.checkpoints.safetensors.files import FLOATING, SafetensorsFiles
from tracetui.models.checkpoints.safetensors.names import Conversion, Names, match_names, tied_names
from tracetui.models.checkpoints.safetensors.packed import packed_form
from tracetui.models.checkpoints.safetensors.parts import TextPrefix, embedding_name, other_parts, text_prefix, told
from tracetui.models.checkpoints.safetensors.wholes import renamed_in_whole
from tracetui.models.checkpoints.weight_file import WeightFile
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SafetensorsFolder:
    """A folder whose headers are read and checked, not matched with a model yet."""

    def __init__(self, folder: Path, config: Mapping[str, object], origin: str) -> None:
        """Raises InputError for a folder without readable weights, and for quantised ones in a form that isn't read."""
        self._block = quantised.block_size(config, origin)
        self._files = SafetensorsFiles(folder)
        self.by_reference = config.get("model_type") == "deepseek_v3" and has_reference_names(self._files.tensors)
        """Whether the names are those of DeepSeek's reference code."""
        if self.by_reference:
            self._files.rename(published_name, reference_name)
            self._block = self._block or quantised.REFERENCE_BLOCK

    @property
    def dtype(self) -> torch.dtype | None:
        """The floating dtype that most bytes have, for dtype `auto`; None for float8, which says nothing of it."""
        return self._files.main_dtype()

    def source_for(self, model: PreTrainedModel) -> SafetensorsCheckpoint:
        """The folder as the source of a model's weights.

        A model whose configuration ties two tensors that differ in the file is untied, as transformers does.
        """
        names, prefix = self._matched(model)
        unread = [self._files.own_name(name) for name in names.spare]
        others = self._without_other_parts(names, prefix, self._files.own_name) if prefix else []
        if names.spare and not self.by_reference:
            in_whole = renamed_in_whole(model, self._files, list(self._weights()), names)
            if in_whole is not None:
                names = match_names(model, self._weights(), in_whole.kind)
                others = self._without_other_parts(names, in_whole.prefix, in_whole.places.__getitem__)
        self._refuse_packed(model, names)
        notes = [*others, *_settle_ties(model, names, self._files), *self._without_activations(names)]
        self._refuse_absent_parts(model, names, unread)
        return SafetensorsCheckpoint(self._files, names, self._block, model, notes)

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
        """The names of all tensors but scales."""
        return (name for name in self._files.tensors if not quantised.is_scale(name, self._files.tensors))

    def _without_other_parts(self, names: Names, prefix: TextPrefix, place: Callable[[str], str]) -> list[str]:
        """A line on what the file has beside the text model, which no longer counts as unread.

        place: the name of a tensor in the model of several parts, which its prefix stands before.
        """
        # The reference code's names have been given up for the published ones, whose prefix it is.
        own = {name: name if self.by_reference else self._files.own_name(name) for name in self._files.tensors}
        apart = {
            name for name in names.spare if prefix.is_of_another_part(own[name] if self.by_reference else place(name))
        }
        used = [own[name] for name in self._files.tensors if name not in set(names.spare)]
        parts = other_parts(used, [own[name] for name in names.spare if name in apart])
        names.spare = [name for name in names.spare if name not in apart]
        return [f"{self._files.shards.label}: not read, no part of this model: {told(parts)}"] if parts else []

    def _refuse_packed(self, model: PreTrainedModel, names: Names) -> None:
        """Raises InputError where quantised tensors stand in place of weights: those would be random."""
        absent = (name for name, _ in model.named_parameters() if name not in names.direct | names.converted)
        if (packed := packed_form(names.spare, absent, self._files.tensors)) is not None:
            name, form = packed
            raise quantised.packed(self._files.path(name), self._files.said(name), form)

    def _without_activations(self, names: Names) -> Iterator[str]:
        """A line on the scales for rounding activations, which no longer count as unread."""
        scales = quantised.of_activations(names.spare)
        if scales and any(tensor.dtype == quantised.FLOAT8 for tensor in self._files.tensors.values()):
            names.spare = [name for name in names.spare if name not in set(scales)]
            kinds = ", ".join(sorted({name.rpartition(".")[2] for name in scales}))
            yield f"{self._files.shards.label}: {kinds} not used: activations are not rounded to float8"


class SafetensorsCheckpoint:
    """The tensors of a folder, asked for by transformers' names: a WeightSource."""

    def __init__(
        self,
        files: SafetensorsFiles,
        names: Names,
        block: quantised.Block | None,
        model: PreTrainedModel,
        notes: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._names = names
        self._block = block
        self._model = model
        self._notes = notes
        self._provenances: dict[TensorSpec, str | None] = {}

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        """`file` or `dequantised`; None where the folder lacks the tensor, or a part of it that is asked for.

        Raises InputError if what the file has is of another shape or kind.
        """
        if rows is not None and self._whole(spec) is None:
            return self._rows_provenance(spec, rows)
        return self._whole(spec)

    def _whole(self, spec: TensorSpec) -> str | None:
        if spec not in self._provenances:
            self._provenances[spec] = self._find_provenance(spec)
        return self._provenances[spec]

    def _find_provenance(self, spec: TensorSpec) -> str | None:
        if (conversion := self._names.converted.get(spec.name)) is not None:
            return self._converted_provenance(conversion, spec)
        name = self._names.direct.get(spec.name)
        if name is None:
            return None
        shape = self._files.tensors[name].shape
        if shape != spec.shape:
            problem = f"must have the shape {list(spec.shape)}"
            raise bad_field(self._files.path(name), self._files.said(name), problem, list(shape))
        return self._kind(name) if spec.dtype.is_floating_point else self._table(name)

    def _table(self, name: str) -> str:
        """That a tensor holds integers, as a table of experts by token id does."""
        stored = self._files.tensors[name].dtype
        if stored.is_floating_point or stored.is_complex:
            dtype = str(stored).removeprefix("torch.")
            raise bad_field(self._files.path(name), self._files.said(name), "must be of integers", dtype)
        return "file"

    def _rows_provenance(self, spec: TensorSpec, rows: Sequence[int]) -> str | None:
        """Of experts that the file has although others are missing."""
        conversion = self._names.converted.get(spec.name)
        kinds = set()
        for row in rows:
            names = conversion.names_of_row(row) if conversion is not None else None
            if conversion is None or names is None:
                return None
            sources = {pattern: [name] for pattern, name in names.items()}
            kinds.add(self._made_of(conversion, sources, spec.name, (1, *spec.shape[1:])))
        return "+".join(sorted(kinds))

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        """The tensor or the named rows of it. Raises FileChangedError if a file was changed since it was opened."""
        if (conversion := self._names.converted.get(spec.name)) is not None:
            return self._convert(conversion, spec, rows, tick)
        return self._read(self._names.direct[spec.name], rows, spec.dtype, tick)

    @property
    def files(self) -> tuple[WeightFile, ...]:
        """What is read from."""
        return self._files.opened

    def report(self, specs: Sequence[TensorSpec]) -> list[str]:
        """What a user must know of how the folder fits a model of these tensors, one line each."""
        present = {spec.name: self.provenance(spec) is not None for spec in specs}
        spare = [self._files.own_name(name) for name in self._names.spare]
        label = self._files.shards.label
        return [*self._files.shards.notes(), *fit(label, present, spare), *self._parts(label, specs), *self._notes]

    def _parts(self, label: str, specs: Sequence[TensorSpec]) -> Iterator[str]:
        """A line for each tensor of experts that the file has some of."""
        for spec in specs:
            conversion = self._names.converted.get(spec.name)
            if conversion is not None and self._whole(spec) is None:
                there = [row for row in range(spec.rows) if conversion.names_of_row(row) is not None]
                if there:
                    yield f"{label}: of {spec.name} experts {ranges(there)} from the file, the others random"

    def _kind(self, name: str) -> str:
        """Where the values of one of the file's tensors come from."""
        stored, path = self._files.tensors[name], self._files.path(name)
        if stored.dtype == quantised.FLOAT8:
            scale = quantised.scale_name(name, self._files.tensors)
            names = (self._files.said(name), self._files.said(scale or quantised.usual_scale_name(name)))
            beside = self._files.tensors[scale] if scale else None
            quantised.check_scale(path, names, stored.shape, beside, self._block)
            return "dequantised"
        if stored.dtype not in FLOATING:
            raise quantised.packed(path, self._files.said(name), str(stored.dtype).removeprefix("torch."))
        return "file"

    def _read(self, name: str, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        tensor = self._files.tensor(name)
        if tensor.dtype == quantised.FLOAT8:
            scale = quantised.scale_name(name, self._files.tensors)
            assert scale is not None
            return quantised.dequantised(tensor, self._files.tensor(scale).whole(), self._block, rows, dtype, tick)
        return tensor.converted(rows, dtype, tick)

    def _converted_provenance(self, conversion: Conversion, spec: TensorSpec) -> str | None:
        if not conversion.is_complete(spec.rows):
            return None
        return self._made_of(conversion, conversion.sources, spec.name, spec.shape)

    def _made_of(
        self, conversion: Conversion, sources: Mapping[str, Sequence[str]], parameter: str, shape: Sequence[int]
    ) -> str:
        """Where the values of these tensors come from; raises InputError unless they make one of `shape`."""
        names = [name for part in sources.values() for name in part]
        kinds = {self._kind(name) for name in names}
        shapes = {
            pattern: [torch.empty(self._files.tensors[name].shape, device="meta") for name in part]
            for pattern, part in sources.items()
        }
        made = list(self._apply(conversion, parameter, shapes).shape)
        if made != list(shape):
            problem = f"and the {len(names) - 1} tensors beside it must make {list(shape)} of {parameter}"
            raise bad_field(self._files.path(names[0]), self._files.said(names[0]), problem, made)
        return "dequantised" if "dequantised" in kinds else "file"

    def _convert(
        self, conversion: Conversion, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick
    ) -> torch.Tensor:
        def read(names: Sequence[str]) -> list[torch.Tensor]:
            return [self._read(name, None, spec.dtype, tick) for name in names]

        if not conversion.is_row_by_row():
            whole = {pattern: read(names) for pattern, names in conversion.sources.items()}
            made = self._apply(conversion, spec.name, whole)
            return made if rows is None else made[list(rows)]
        positions = range(spec.rows) if rows is None else rows
        out = empty_weight((len(positions), *spec.shape[1:]), spec.dtype)
        # One at a time: all at once would be in memory three times, as a list, stacked, and side by side.
        for position, row in enumerate(positions):
            names = conversion.names_of_row(row)
            assert names is not None
            one = {pattern: read([name]) for pattern, name in names.items()}
            out[position] = self._apply(conversion, spec.name, one)[0]
        return out

    def _apply(self, conversion: Conversion, parameter: str, sources: dict[str, list[torch.Tensor]]) -> torch.Tensor:
        """One result of transformers' own operations on these tensors."""
        first = conversion.names[0]
        converter = copy.deepcopy(conversion.converter)
        for pattern, tensors in sources.items():
            converter.collected_tensors[pattern].extend(tensors)
        try:
            made = converter.convert(conversion.first_target, model=self._model, config=self._model.config)
            tensor = made[parameter]
        except Exception as error:  # whatever torch says of shapes that don't fit together
            problem = f"transformers can't make {parameter} of it: {type(error).__name__}: {visible(str(error), 160)}"
            raise InputError(f"{self._files.path(first)}: {self._files.said(first)}: {problem}") from error
        first_made = tensor[0] if isinstance(tensor, list) else tensor
        assert isinstance(first_made, torch.Tensor)
        return first_made


def _settle_ties(model: PreTrainedModel, names: Names, files: SafetensorsFiles) -> list[str]:
    """Make one file name serve a tensor that stands in several places; tell of those that the file has twice."""
    notes = []
    for first, *others in tied_names(model):
        for other in others:
            if first not in names.direct and other in names.direct:
                names.direct[first] = names.direct[other]
            elif other in names.direct and not _same(files, names.direct[first], names.direct[other]):
                owner, _, parameter = other.rpartition(".")
                own = torch.nn.Parameter(torch.empty_like(model.get_parameter(other)), requires_grad=False)
                setattr(model.get_submodule(owner), parameter, own)
                notes.append(f"{other}: differs from {first} in the file, so that they aren't one as the config says")
    return notes


def _same(files: SafetensorsFiles, one: str, other: str) -> bool:
    if files.tensors[one].shape != files.tensors[other].shape or files.tensors[one].dtype != files.tensors[other].dtype:
        return False
    pairs = zip(files.tensor(one).pieces(), files.tensor(other).pieces(), strict=True)
    return all(torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8)) for a, b in pairs)

"""A safetensors folder's weights as a weight source: only what is asked for is read, straight from the files."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.quantised.method import refused
from tracetui.models.checkpoints.quantised.weight import dtype_text
from tracetui.models.checkpoints.report import fit, ranges
from tracetui.models.checkpoints.safetensors.files import FLOATING, SafetensorsFiles
from tracetui.models.checkpoints.safetensors.names import Conversion, Names
from tracetui.models.checkpoints.ties import table_names
from tracetui.models.checkpoints.weight_file import WeightFile
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.recording.trace import dequantised
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_COUNTS = (torch.int64, torch.bool)
"""What no form stores weights in."""


class SafetensorsCheckpoint:
    """The tensors of a folder, asked for by transformers' names: a WeightSource."""

    def __init__(
        self,
        files: SafetensorsFiles,
        names: Names,
        model: PreTrainedModel,
        notes: Sequence[str] = (),
    ) -> None:
        self._files = files
        self._names = names
        self._model = model
        self._notes = notes
        self._provenances: dict[TensorSpec, str | None] = {}

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        """`file`, or `dequantised` with its form; None where the folder lacks the tensor, or a part that is asked for.

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
            problem = f"must have the shape {list(spec.shape)}{self._vocabulary(spec, shape)}"
            raise bad_field(self._files.path(name), self._files.said(name), problem, list(shape))
        return self._kind(name) if spec.dtype.is_floating_point else self._table(name)

    def _vocabulary(self, spec: TensorSpec, stored: Sequence[int]) -> str:
        """What of the configuration a table of tokens was made by, where the file's has more or fewer of them."""
        if tuple(stored[1:]) != spec.shape[1:] or spec.name not in table_names(self._model):
            return ""
        return f", by config.json's vocab_size of {spec.shape[0]:,}"

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
        fitting = [*fit(label, present, spare), *self._parts(label, specs)]
        return [*self._files.shards.notes(), *fitting, *self._forms(label, specs), *self._notes]

    def _forms(self, label: str, specs: Sequence[TensorSpec]) -> Iterator[str]:
        """A line on the forms that weights are stored in which are made of several tensors."""
        names = {name for spec in specs for name in self._stored_names(spec.name)}
        forms = Counter(packed.form for name, packed in self._files.packed.items() if name in names)
        if forms:
            most_first = sorted(forms.items(), key=lambda item: (-item[1], item[0]))
            kinds = "; ".join(f"{count:,} from {form}" for form, count in most_first)
            yield dequantised(label, kinds)

    def _stored_names(self, name: str) -> Sequence[str]:
        """The file's names of what makes one of the model's tensors."""
        conversion = self._names.converted.get(name)
        if conversion is not None:
            return conversion.names
        return [direct] if (direct := self._names.direct.get(name)) is not None else []

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
        if name in self._files.packed:
            return f"dequantised {self._files.packed[name].form.replace(',', '')}"
        dtype = self._files.tensors[name].dtype
        if dtype in _COUNTS:
            raise bad_field(self._files.path(name), self._files.said(name), "must be of floats", dtype_text(dtype))
        if dtype not in FLOATING:
            raise refused(self._files.path(name), self._files.said(name), dtype_text(dtype))
        return "file"

    def _read(self, name: str, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        packed = self._files.packed.get(name)
        return (packed or self._files.tensor(name)).converted(rows, dtype, tick)

    def _converted_provenance(self, conversion: Conversion, spec: TensorSpec) -> str | None:
        if not conversion.is_complete(spec.rows):
            return None
        return self._made_of(conversion, conversion.sources, spec.name, spec.shape)

    def _made_of(
        self, conversion: Conversion, sources: Mapping[str, Sequence[str]], parameter: str, shape: Sequence[int]
    ) -> str:
        """`file` if these tensors are used as stored, else `dequantised` with the forms. Raises InputError unless they
        give `shape`."""
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
        forms = sorted(kind.removeprefix("dequantised ") for kind in kinds if kind != "file")
        return f"dequantised {' '.join(forms)}" if forms else "file"

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

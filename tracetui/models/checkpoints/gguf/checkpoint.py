"""A GGUF model as a weight source: only what is asked for is read and turned back, straight from the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tracetui.analysis.rope.pairs import STAND_IN_HALVES
from tracetui.errors import bad_field
from tracetui.formats.gguf.files import GgufFiles, file_in, read_files
from tracetui.models.checkpoints.absent_parts import refuse_absent_parts
from tracetui.models.checkpoints.gguf.blocks import PLAIN, unpacker
from tracetui.models.checkpoints.gguf.names import IN_PAIRS, GgufNames, reshaped
from tracetui.models.checkpoints.gguf.parts import WeightPart
from tracetui.models.checkpoints.gguf.rotation import stands_in_pairs
from tracetui.models.checkpoints.report import fit
from tracetui.models.checkpoints.ties import settle_head
from tracetui.models.checkpoints.weight_file import WeightFile
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.recipe.gguf.config import HEAD
from tracetui.recording.trace import dequantised
from tracetui.text import visible

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_COMPUTED_IN = (torch.float32, torch.bfloat16, torch.float16)


def open_gguf(path: Path) -> GgufCheckpoint:
    """The model in a file, in all files that it is split into, or the one in a folder; no weights are read.

    Raises InputError for a folder without one or with several, and for files that are not what they should be.
    """
    return GgufCheckpoint(path)


class GgufCheckpoint:
    """A model whose headers are read and checked."""

    form = "gguf"

    def __init__(self, path: Path) -> None:
        """path: of a file, or of a folder with one model."""
        file = file_in(path) if path.is_dir() else path
        assert file is not None
        self._files: GgufFiles = read_files(file)
        self._opened = {str(header.path): WeightFile(header.path, header.state) for header in self._files.headers}
        self._refuse_types()

    @property
    def dtype(self) -> torch.dtype:
        """What most of the file is stored in, one by one; float32 for blocks, which hold products of two numbers."""
        sizes: Counter[str] = Counter()
        for place in self._files.tensors.values():
            sizes[place.type.name] += place.stop - place.start
        dtype = PLAIN.get(max(sizes, key=lambda name: sizes[name]))
        return dtype if dtype in _COMPUTED_IN else torch.float32

    def source_for(self, model: PreTrainedModel) -> GgufSource:
        """Its tensors for a model. Raises InputError where it lacks a whole part of the model."""
        in_pairs, notes = self._row_order(model)
        if HEAD in self._files.tensors:
            settle_head(model)
        names = GgufNames(self._files, self._opened, model, in_pairs)
        source = GgufSource(self._files, tuple(self._opened.values()), names, notes)
        if not self._files.missing:
            present = {name: names.part(name) is not None for name, _ in model.named_parameters()}
            embedding = next(
                (
                    name
                    for name, parameter in model.named_parameters()
                    if parameter is model.get_input_embeddings().weight
                ),
                "model.embed_tokens.weight",
            )
            refuse_absent_parts(self._files.path, present, list(names.spare()), embedding)
        return source

    def _row_order(self, model: PreTrainedModel) -> tuple[bool, list[str]]:
        """Whether queries and keys stand in pairs, and what is to be said where the architecture has it otherwise."""
        if self._files.architecture not in IN_PAIRS:
            return False, []
        config: Any = model.config
        in_pairs = stands_in_pairs(self._files, self._opened[str(self._files.path)], config.num_attention_heads)
        if in_pairs is not False:
            return True, []
        note = (
            f"{visible(self._files.path.name, 80)}: {STAND_IN_HALVES}, as their lengths show, "
            f"and are read so; llama.cpp turns them in pairs, as any {self._files.architecture}'s, and wrongly here"
        )
        return False, [note]

    def _refuse_types(self) -> None:
        """Raises InputError for blocks that no library turns back."""
        for name, place in self._files.tensors.items():
            if place.type.name not in PLAIN and unpacker(place.type) is None:
                problem = (
                    f"is of type {place.type.name}, which no library here turns back; quantise the model in another"
                )
                raise bad_field(self._files.path_of[name], visible(name, 80), problem)


class GgufSource:
    """The tensors of a model, asked for by transformers' names."""

    def __init__(
        self, files: GgufFiles, opened: tuple[WeightFile, ...], names: GgufNames, notes: Sequence[str]
    ) -> None:
        self.files = opened
        """What is read from."""
        self._gguf = files
        self._names = names
        self._notes = notes

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        """`file`, or `dequantised` with the types of block; None where the file lacks the tensor.

        Raises InputError if what the file has is of another shape.
        """
        part = self._part(spec)
        if part is None:
            return None
        kinds = sorted({tensor.kind.name for tensor in part.tensors} - PLAIN.keys())
        return f"dequantised {' '.join(kinds)}" if kinds else "file"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        """The tensor or the named rows of it. Raises FileChangedError if the file was changed since it was opened."""
        part = self._part(spec)
        assert part is not None
        return part.read(rows, spec.dtype, tick)

    def report(self, specs: Sequence[TensorSpec]) -> list[str]:
        """What a user must know of how the file fits a model of these tensors, one line each."""
        label = visible(self._gguf.path.name, 80)
        present = {spec.name: self.provenance(spec) is not None for spec in specs}
        missing = [
            f"{visible(name, 80)}: is missing, and with it what it holds of the model" for name in self._gguf.missing
        ]
        return [*missing, *fit(label, present, list(self._names.spare())), *self._types(label, specs), *self._notes]

    def _types(self, label: str, specs: Sequence[TensorSpec]) -> Iterator[str]:
        """A line on what was quantised."""
        parts = (part for spec in specs if (part := self._part(spec)) is not None)
        tensors: Mapping[str, str] = {tensor.name: tensor.kind.name for part in parts for tensor in part.tensors}
        counts = Counter(kind for kind in tensors.values() if kind not in PLAIN)
        if counts:
            kinds = "; ".join(f"{count:,} from {kind}" for kind, count in counts.most_common())
            yield dequantised(label, kinds)

    def _part(self, spec: TensorSpec) -> WeightPart | None:
        part = self._names.part(spec.name)
        if part is None:
            return None
        part = reshaped(part, spec.shape)
        _check(part, spec)
        return part


def _check(part: WeightPart, spec: TensorSpec) -> None:
    """Raises InputError where what the file has can't be the parameter."""
    first, *others = part.tensors
    floats = spec.dtype.is_floating_point
    for tensor in part.tensors:
        dtype = PLAIN.get(tensor.kind.name)
        if dtype is not None and dtype.is_floating_point is not floats:
            problem = f"is of type {tensor.kind.name}, and must be of {'floats' if floats else 'integers'}"
            raise bad_field(tensor.file.path, visible(tensor.name, 80), problem)
    if part.shape != spec.shape:
        beside = f" with {', '.join(visible(tensor.name, 60) for tensor in others)}" if others else ""
        shapes = [list(tensor.shape) for tensor in part.tensors]
        problem = f"must make the shape {list(spec.shape)}{beside}"
        raise bad_field(first.file.path, visible(first.name, 80), problem, shapes if others else shapes[0])

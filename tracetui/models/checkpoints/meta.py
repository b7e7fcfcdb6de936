"""Llama weights from Meta's own folder: consolidated.00.pth under transformers' names, the rows of wq and wk in its
order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from tracetui.errors import InputError, bad_field
from tracetui.models.checkpoints.absent_parts import refuse_absent_parts
from tracetui.models.checkpoints.meta_names import ROPE_FREQUENCIES, canonical_name, meta_name, split_layer
from tracetui.models.checkpoints.quantised.method import refused
from tracetui.models.checkpoints.quantised.weight import dtype_text
from tracetui.models.checkpoints.report import fit
from tracetui.models.checkpoints.row_order import halves_order
from tracetui.models.checkpoints.safetensors.packed import packed_form
from tracetui.models.checkpoints.torch_file import stored_tensors
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile
from tracetui.models.checkpoints.weight_files import CHECKPOINT, find_checkpoint
from tracetui.models.weights.sources import TensorSpec, Tick
from tracetui.text import visible

_PAIRED = {"self_attn.q_proj.weight": "num_attention_heads", "self_attn.k_proj.weight": "num_key_value_heads"}
"""The projections whose rows are permuted, and the field that tells their heads."""
_READABLE = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


def open_meta_checkpoint(folder: Path, config: Mapping[str, object]) -> MetaCheckpoint:
    """Open a folder in Meta's form for a model of `config`, transformers' fields; no weights are read.

    Raises InputError for a folder without consolidated.00.pth or with more shards, for a link that leads out of the
    folder, and for a file that is not what torch.save makes of a flat state dict in Meta's names.
    """
    path = find_checkpoint(folder)
    if config.get("model_type") != "llama":
        kind = config.get("model_type")
        raise bad_field(folder, CHECKPOINT, "holds a llama; the recipe's model_type must be that", kind)
    return MetaCheckpoint(WeightFile(path), config)


class MetaCheckpoint:
    """The tensors of one file, asked for by transformers' names: a checkpoint that is its own source."""

    form = "meta"

    def __init__(self, file: WeightFile, config: Mapping[str, object]) -> None:
        """Raises InputError for a file that is not what torch.save makes of a flat state dict in Meta's names."""
        self.files: tuple[WeightFile, ...] = (file,)
        self._path = file.path
        self._tensors = stored_tensors(file)
        self._config = config
        self._dtype = _main_dtype(file.path, self._tensors)
        self._check_head_size()

    @property
    def dtype(self) -> torch.dtype:
        """The floating dtype that most bytes have, for dtype `auto`; float64 is computed in float32."""
        return self._dtype

    def source_for(self, model: nn.Module) -> MetaCheckpoint:
        """Itself: its names are the same for every model that it may hold.

        Raises InputError where it holds weights in fewer bits, or lacks a whole part of the model.
        """
        present = {name: meta_name(name) in self._tensors for name, _ in model.named_parameters()}
        spare = list(self._spare(present))
        absent = (meta_name(name) or name for name, there in present.items() if not there)
        if (packed := packed_form(spare, absent, self._tensors)) is not None:
            raise refused(self._path, visible(packed[0], 80), packed[1])
        refuse_absent_parts(self._path, present, spare, "model.embed_tokens.weight")
        return self

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        """`file`, or None where the file lacks the tensor. Raises InputError if the file's is of another kind."""
        name = meta_name(spec.name)
        if name is None or name not in self._tensors:
            return None
        tensor = self._tensors[name]
        if tuple(tensor.shape) != spec.shape:
            raise bad_field(self._path, name, f"must have the shape {list(spec.shape)}", list(tensor.shape))
        if tensor.dtype in (torch.int8, torch.uint8):
            raise refused(self._path, name, dtype_text(tensor.dtype))
        if tensor.dtype not in _READABLE:
            raise bad_field(self._path, name, "must be of floating point", str(tensor.dtype).removeprefix("torch."))
        return "file"

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        """The tensor or the named rows of it. Raises FileChangedError if the file was changed since it was opened."""
        tensor = self._tensors[meta_name(spec.name) or ""]
        order = self._row_order(spec, rows)
        return tensor.converted(None if order is None else order.tolist(), spec.dtype, tick)

    def report(self, specs: Sequence[TensorSpec]) -> list[str]:
        """What a user must know of how the file fits a model of these tensors, one line each."""
        present = {spec.name: self.provenance(spec) is not None for spec in specs}
        return fit(CHECKPOINT, present, list(self._spare(present)))

    def _spare(self, present: Mapping[str, bool]) -> Iterator[str]:
        """The file's tensors that no module asks for; those of layers left out on purpose don't count."""
        for name in self._tensors:
            canonical = canonical_name(name)
            layer, _ = split_layer(name)
            left_out = canonical is not None and layer is not None and layer < self._integer("num_hidden_layers")
            if name != ROPE_FREQUENCIES and canonical not in present and not left_out:
                yield name

    def _row_order(self, spec: TensorSpec, rows: Sequence[int] | None) -> torch.Tensor | None:
        """Which rows of the file's tensor make the result [rows]; None for all of them as they stand."""
        order = None if rows is None else torch.tensor(rows, dtype=torch.int64)  # [rows]
        _, inner = split_layer(spec.name)
        if inner not in _PAIRED:
            return order
        halves = halves_order(self._integer(_PAIRED[inner]), spec.rows)  # [H*K]
        return halves if order is None else halves[order]

    def _check_head_size(self) -> None:
        """Shapes don't tell the number of heads, but the frequencies that older files carry do."""
        frequencies = self._tensors.get(ROPE_FREQUENCIES)
        pairs = self._integer("head_dim") // 2
        if frequencies is not None and math.prod(frequencies.shape) != pairs:
            problem = f"must have {pairs} frequencies, half the size of a head by params.json"
            raise bad_field(self._path, ROPE_FREQUENCIES, problem, math.prod(frequencies.shape))

    def _integer(self, field: str) -> int:
        value = self._config.get(field)
        if value is None and field == "num_key_value_heads":
            return self._integer("num_attention_heads")
        if value is None and field == "head_dim":
            return self._integer("hidden_size") // self._integer("num_attention_heads")
        assert isinstance(value, int)
        return value


def _main_dtype(path: Path, tensors: Mapping[str, StoredTensor]) -> torch.dtype:
    sizes: Counter[torch.dtype] = Counter()
    for name, tensor in tensors.items():
        if canonical_name(name):
            sizes[tensor.dtype] += tensor.nbytes
    if not sizes:
        first = f"; its first is {visible(next(iter(tensors)), 60)}" if tensors else ""
        raise InputError(f"{path}: tok_embeddings.weight: neither this nor any other tensor of Meta's is there{first}")
    readable = [dtype for dtype, _ in sizes.most_common() if dtype in _READABLE]
    return readable[0] if readable and readable[0] != torch.float64 else torch.float32

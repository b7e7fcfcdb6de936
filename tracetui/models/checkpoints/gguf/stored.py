"""A tensor where it lies in a GGUF file, in blocks, of which only those that are asked for are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from tracetui.errors import bad_field
from tracetui.formats.gguf import BlockType, GgufTensor
from tracetui.models.checkpoints.gguf.blocks import PLAIN, dequantise_into
from tracetui.models.checkpoints.gguf.scales import first_not_finite
from tracetui.models.checkpoints.weight_file import StoredTensor, WeightFile
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import Tick
from tracetui.text import visible

_PIECE_BYTES = 8 * 2**20
"""How much is read at once: little beside what is made of it."""


@dataclass(frozen=True, eq=False, slots=True)
class BlockTensor:
    """One tensor of a file."""

    name: str
    """As the file calls it."""
    file: WeightFile
    place: GgufTensor

    @property
    def shape(self) -> tuple[int, ...]:
        return self.place.shape

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        """Itself: what a parameter may be made of."""
        return (self,)

    @property
    def kind(self) -> BlockType:
        return self.place.type

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        """The tensor, or the named rows of it in that order, in a dtype.

        Raises FileChangedError, and InputError for a block whose scale is no number.
        """
        if self.kind.name in PLAIN:
            stored = StoredTensor(self.file, PLAIN[self.kind.name], self.shape, self.place.start)
            return stored.converted(rows, dtype, tick)
        if len(self.shape) < 2:
            whole = self._rows(range(1), dtype, tick).view(self.shape)
            return whole if rows is None else whole[list(rows)]
        return self._rows(range(self.shape[0]) if rows is None else rows, dtype, tick)

    def _rows(self, order: Sequence[int], dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        row_shape = self.shape[1:] if len(self.shape) > 1 else self.shape
        row_bytes = prod(row_shape) // self.kind.elements * self.kind.byte_count
        row_count = (self.place.stop - self.place.start) // max(1, row_bytes)
        packed = StoredTensor(self.file, torch.uint8, (row_count, row_bytes), self.place.start)
        out = empty_weight((len(order), *row_shape), dtype)
        step = max(1, _PIECE_BYTES // max(1, row_bytes))
        for first in range(0, len(order), step):
            part, blocks = out[first : first + step], packed.take(order[first : first + step])
            self._check_scales(blocks, order[first : first + step], row_shape)
            dequantise_into(part, blocks, self.kind)
            tick(part.numel() * dtype.itemsize)
        return out

    def _check_scales(self, blocks: torch.Tensor, rows: Sequence[int], row_shape: Sequence[int]) -> None:
        """Raises InputError for a block of these rows [rows, bytes of a row] with a scale that is no number."""
        block = first_not_finite(blocks.view(-1, self.kind.byte_count), self.kind.name)
        if block is not None:
            row, element = divmod(block * self.kind.elements, prod(row_shape))
            inside = np.unravel_index(element, tuple(row_shape))
            place = [*([rows[row]] if len(self.shape) > 1 else []), *map(int, inside)]
            problem = "must have blocks of finite scales; fetch or convert the file again"
            got = f"NaN or infinity in the {self.kind.name} block that begins at {place}"
            raise bad_field(self.file.path, visible(self.name, 80), problem, got)

"""Parameters of transformers made of a GGUF file's tensors: what llama.cpp changed is undone, by rows where it can be.

Each has its shape, the tensors that it is made of, and `read`: all of it, or the named rows in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch

from tracetui.models.checkpoints.gguf.stored import BlockTensor
from tracetui.models.weights.memory import empty_weight
from tracetui.models.weights.sources import Tick


class WeightPart(Protocol):
    """Something that rows of a parameter are read from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Empty where the tensors' shapes don't fit together."""
        ...

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        """What of the file it is made of."""
        ...

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        """All rows, or the named ones in that order. Raises FileChangedError."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Changed:
    """A part of one other."""

    part: WeightPart

    @property
    def shape(self) -> tuple[int, ...]:
        return self.part.shape

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        return self.part.tensors


@dataclass(frozen=True, eq=False, slots=True)
class Reordered(Changed):
    """Its rows in another order."""

    order: torch.Tensor
    """[rows]: the other's row that stands at each place."""

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        order = self.order if rows is None else self.order[list(rows)]
        return self.part.read(order.tolist(), dtype, tick)


@dataclass(frozen=True, eq=False, slots=True)
class RowsOf(Changed):
    """Some of its rows, one after another."""

    first: int
    count: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.count, *self.part.shape[1:])

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        own = range(self.count) if rows is None else rows
        return self.part.read([self.first + row for row in own], dtype, tick)


@dataclass(frozen=True, eq=False, slots=True)
class LessOne(Changed):
    """The weights of norms that multiply with 1 + w: the file has 1 + w."""

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        return (self.part.read(rows, torch.float32, tick) - 1).to(dtype)


@dataclass(frozen=True, eq=False, slots=True)
class Logarithm(Changed):
    """The logarithm of what recurrent layers decay by: the file has what they compute with, -exp of it."""

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        return self.part.read(rows, torch.float32, tick).neg().log().to(dtype)


@dataclass(frozen=True, eq=False, slots=True)
class ReorderedColumns(Changed):
    """The columns of a matrix in another order."""

    order: torch.Tensor
    """[columns]: the other's column that stands at each place."""

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        return self.part.read(rows, dtype, tick)[:, self.order]


@dataclass(frozen=True, eq=False, slots=True)
class TransposedMatrix(Changed):
    """A matrix, its axes exchanged."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.part.shape[::-1] if len(self.part.shape) == 2 else ()

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        whole = self.part.read(None, dtype, tick).t()
        return whole.contiguous() if rows is None else whole[list(rows)]


@dataclass(frozen=True, eq=False, slots=True)
class Stacked:
    """Parts as one, the rows of each after those of the last."""

    parts: Sequence[WeightPart]

    @property
    def shape(self) -> tuple[int, ...]:
        shapes = [part.shape for part in self.parts]
        fit = all(shapes) and len({shape[1:] for shape in shapes}) == 1
        return (sum(shape[0] for shape in shapes), *shapes[0][1:]) if fit else ()

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        return tuple(tensor for part in self.parts for tensor in part.tensors)

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        order = range(self.shape[0]) if rows is None else rows
        out = empty_weight((len(order), *self.shape[1:]), dtype)
        first = 0
        for part in self.parts:
            after = first + part.shape[0]
            places = [place for place, row in enumerate(order) if first <= row < after]
            if places:
                out[places] = part.read([order[place] - first for place in places], dtype, tick)
            first = after
        return out


@dataclass(frozen=True, eq=False, slots=True)
class Reshaped(Changed):
    """The same elements in another shape."""

    shape_made: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shape_made

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        whole = self.part.read(None, dtype, tick).view(self.shape_made)
        return whole if rows is None else whole[list(rows)]


@dataclass(frozen=True, eq=False, slots=True)
class Scaled(Changed):
    """Its elements times a number, or those of each row times a number of its own."""

    scale: BlockTensor

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.part.shape
        return shape if prod(self.scale.shape) in (1, *shape[:1]) else ()

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        return (*self.part.tensors, self.scale)

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        made = self.part.read(rows, torch.float32, tick)  # [rows,…]
        scales = self.scale.read(None, torch.float32, lambda made: None).view(-1)  # [1] or [E]
        if len(scales) > 1 and rows is not None:
            scales = scales[list(rows)]
        return (made * scales.view(-1, *(1 for _ in made.shape[1:]))).to(dtype)


@dataclass(frozen=True, eq=False, slots=True)
class Transposed(Changed):
    """A matrix for each row, its axes exchanged: [E,O,I] from [E,I,O]."""

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.part.shape
        return (shape[0], shape[2], shape[1]) if len(shape) == 3 else ()

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        return one_by_one(self, rows, dtype, lambda row: self.part.read([row], dtype, tick)[0].mT)


@dataclass(frozen=True, eq=False, slots=True)
class Joined:
    """Two parts as one, of each row the first's elements and then the second's, or by turns: [E,2F,…] from [E,F,…]."""

    first: WeightPart
    second: WeightPart
    by_turns: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        one, other = self.first.shape, self.second.shape
        alike = one == other if self.by_turns else (one[:1], one[2:]) == (other[:1], other[2:])
        fit = len(one) == len(other) > 1 and alike
        return (one[0], one[1] + other[1], *one[2:]) if fit else ()

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        return (*self.first.tensors, *self.second.tensors)

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        def row(number: int) -> torch.Tensor:
            halves = (part.read([number], dtype, tick)[0] for part in (self.first, self.second))  # [F,…] each
            return torch.stack(tuple(halves), 1).flatten(0, 1) if self.by_turns else torch.cat(tuple(halves))

        return one_by_one(self, rows, dtype, row)


@dataclass(frozen=True, eq=False, slots=True)
class KeysValues:
    """What makes keys and values of a latent, [H*(K+Kv),R]: llama.cpp keeps two, the keys' transposed."""

    keys: WeightPart
    """[H,R,K]"""
    values: WeightPart
    """[H,Kv,R]"""

    @property
    def shape(self) -> tuple[int, ...]:
        keys, values = self.keys.shape, self.values.shape
        fit = len(keys) == len(values) == 3 and (keys[0], keys[1]) == (values[0], values[2])
        return (keys[0] * (keys[2] + values[1]), keys[1]) if fit else ()

    @property
    def tensors(self) -> tuple[BlockTensor, ...]:
        return (*self.keys.tensors, *self.values.tensors)

    def read(self, rows: Sequence[int] | None, dtype: torch.dtype, tick: Tick) -> torch.Tensor:
        keys = self.keys.read(None, dtype, tick).mT  # [H,K,R]
        whole = torch.cat((keys, self.values.read(None, dtype, tick)), 1).view(self.shape)  # [H*(K+Kv),R]
        return whole if rows is None else whole[list(rows)]


class _MakeRow(Protocol):
    def __call__(self, row: int, /) -> torch.Tensor: ...


def one_by_one(part: WeightPart, rows: Sequence[int] | None, dtype: torch.dtype, make: _MakeRow) -> torch.Tensor:
    """Rows made one after another: all at once would be in memory twice."""
    order = range(part.shape[0]) if rows is None else rows
    out = empty_weight((len(order), *part.shape[1:]), dtype)
    for place, row in enumerate(order):
        out[place] = make(row)
    return out

"""Weight sources: where single tensors, or rows of them, come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import torch

Tick = Callable[[int], None]
"""Called with the bytes made since the last call; may raise Cancelled."""


class Init(Enum):
    """How a parameter is filled when it is random."""

    NORMAL = "normal"
    ONES = "ones"
    ZEROS = "zeros"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a checkpoint."""

    name: str
    """Canonical checkpoint name: transformers' own, a tied tensor's first."""
    shape: tuple[int, ...]
    dtype: torch.dtype
    init: Init = Init.NORMAL

    @property
    def row_numel(self) -> int:
        """Elements of one row: of all axes but the first."""
        size = 1
        for length in self.shape[1:]:
            size *= length
        return size

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1

    def nbytes(self, rows: int | None = None) -> int:
        return (self.rows if rows is None else rows) * self.row_numel * self.dtype.itemsize


class WeightSource(Protocol):
    """Hands out tensors by canonical checkpoint name."""

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        """`file` or `random`; None if this source lacks the tensor, or any of the rows that are named."""
        ...

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        """The whole tensor, or the named rows of it in that order."""
        ...


class FirstOf:
    """Several sources, the first that has a tensor gives it."""

    def __init__(self, *sources: WeightSource) -> None:
        self._sources = sources

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return next((found for source in self._sources if (found := source.provenance(spec, rows))), None)

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        for source in self._sources:
            if source.provenance(spec, rows):
                return source.read(spec, rows, tick)
        raise KeyError(spec.name)

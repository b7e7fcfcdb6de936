"""Weights of which some come from another source for a while."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource


class SwappedSource:
    """One source, but for the weights that are taken from another for now."""

    own: WeightSource
    other: WeightSource

    def __init__(self) -> None:
        self.swapped: frozenset[str] = frozenset()
        """Names of the weights that come from the other."""

    def over(self, own: WeightSource) -> WeightSource:
        """This, with a source as its own."""
        self.own = own
        return self

    def provenance(self, spec: TensorSpec, rows: Sequence[int] | None = None) -> str | None:
        return self._of(spec).provenance(spec, rows)

    def read(self, spec: TensorSpec, rows: Sequence[int] | None, tick: Tick) -> torch.Tensor:
        return self._of(spec).read(spec, rows, tick)

    def _of(self, spec: TensorSpec) -> WeightSource:
        return self.other if spec.name in self.swapped else self.own

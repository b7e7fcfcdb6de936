"""How far other weights move what a model predicts, and which of them do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
_AT_ONCE = 2**22
"""Logits that are turned into probabilities at one time."""


class SwapKind(Enum):
    """What is taken from the quantised model, while all else is the original's."""

    WHOLE = "whole"
    LAYER = "layer"
    KIND = "kind"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True)
class Shift:
    """How far predictions moved, over all positions of the prompts."""

    divergence: float
    """Mean over positions of the Kullback–Leibler divergence from the original's next-token probabilities, in nats."""
    worst: float
    """Of the position where it is largest."""
    position: tuple[int, int]
    """That position: row of the batch, token."""
    agreement: float
    """At what share of the positions the most probable token is the same."""


@dataclass(frozen=True, slots=True)
class SwapDamage:
    """What the quantised weights of one part do by themselves."""

    part: SwapKind
    name: str
    """`model.layers.11`, `mlp.down_proj.weight`; empty for the whole."""
    shift: Shift
    layer_error: float | None = None
    """Of a layer: |a - b|/|b| of what it returns for the original's input; None where it isn't known."""


@dataclass(frozen=True, slots=True)
class TensorDamage:
    """One weight that isn't the original's."""

    name: str
    shape: tuple[int, ...]
    error: float
    """|a - b|/|b| of the weight."""
    output_error: float | None = None
    """The same of what its module returns for the original's input; None where the module wasn't run with it alone."""


@dataclass(frozen=True, slots=True)
class QuantisationReport:
    """A quantised model beside its original."""

    original: str
    quantised: str
    positions: int
    """Of all prompts."""
    compared: int
    """How many weights were compared."""
    tensors: tuple[TensorDamage, ...]
    """Those that differ, in the order of the model."""
    whole: SwapDamage
    parts: tuple[SwapDamage, ...]
    """Layers, kinds of matrices and single ones, each swapped alone, in the order of the model."""
    notes: tuple[str, ...] = ()

    def of(self, part: SwapKind) -> tuple[SwapDamage, ...]:
        """The swaps of one kind, the most damaging first."""
        return tuple(sorted((each for each in self.parts if each.part is part), key=lambda e: -e.shift.divergence))


def shift(original: Floats, other: Floats, lengths: Sequence[int]) -> Shift:
    """How far logits [B,T,V] are from the original's; of each row its first so many positions count."""
    divergences, same = [], 0
    for row, length in enumerate(lengths):
        for first, a, b in _pieces(original[row, :length], other[row, :length]):
            divergences.append((row, first, _divergence(a, b)))
            same += int((a.argmax(-1) == b.argmax(-1)).sum())
    count = sum(lengths)
    total = sum(float(each.sum()) for _, _, each in divergences)
    row, first, worst = max(divergences, key=lambda each: float(each[2].max()))
    place = int(worst.argmax())
    return Shift(total / count, float(worst[place]), (row, first + place), same / count)


def _pieces(a: Floats, b: Floats) -> Iterator[tuple[int, Floats, Floats]]:
    step = max(1, _AT_ONCE // max(1, a.shape[-1]))
    for first in range(0, len(a), step):
        yield first, a[first : first + step].astype(np.float64), b[first : first + step].astype(np.float64)


def _divergence(a: Floats, b: Floats) -> npt.NDArray[np.float64]:
    """Of each position [T], from logits [T,V] of the original and of the other."""
    log_p, log_q = _log_probabilities(a), _log_probabilities(b)
    p = np.exp(log_p)
    # A probability of 0 adds nothing, whatever the other one is.
    with np.errstate(invalid="ignore"):
        terms = np.where(p > 0, p * (log_p - log_q), 0.0)  # [T,V]
    return np.asarray(np.maximum(terms.sum(-1), 0.0))


def _log_probabilities(logits: Floats) -> npt.NDArray[np.float64]:
    shifted = logits - logits.max(-1, keepdims=True)
    summed: npt.NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return summed

"""How far other weights move what a model predicts, and which of them do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from tracetui.recording.record import Token

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
class Guess:
    """The most probable next token at one position, by id."""

    id: int
    probability: float


@dataclass(frozen=True, slots=True)
class PositionShift:
    """How far the prediction after one token moved."""

    row: int
    """Of the batch."""
    token: int
    """Its place in the prompt."""
    divergence: float
    """Kullback–Leibler divergence from the original's next-token probabilities, in nats."""
    original: Guess
    quantised: Guess


@dataclass(frozen=True, slots=True)
class PositionDamage:
    """What all quantised weights together do to the prediction after one token."""

    shift: PositionShift
    token: Token
    """The prompt's own there."""
    original: Token
    """What the original takes for the most probable next one."""
    quantised: Token
    """The same of the quantised model."""

    @property
    def is_same(self) -> bool:
        return self.original.id == self.quantised.id


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
    by_position: tuple[PositionDamage, ...] = ()
    """What all of them together do to each prediction, in the order of the prompts."""
    notes: tuple[str, ...] = ()

    def of(self, part: SwapKind) -> tuple[SwapDamage, ...]:
        """The swaps of one kind, the most damaging first."""
        return tuple(sorted((each for each in self.parts if each.part is part), key=lambda e: -e.shift.divergence))

    def at(self, position: tuple[int, int]) -> PositionDamage | None:
        """A row of the batch and a token in it; None where nothing is known of it."""
        damages = (each for each in self.by_position if (each.shift.row, each.shift.token) == position)
        return next(damages, None)


class Reference:
    """The original's logits, and what every comparison with them needs."""

    def __init__(self, logits: Floats, lengths: Sequence[int]) -> None:
        """logits: [B,T,V]. lengths: of each row its first so many positions count."""
        self._rows = [(row, first, piece) for row, first, piece in _pieces(logits, lengths)]
        self._sums = [_log_sum(piece) for _, _, piece in self._rows]  # [t] each
        pairs = zip(self._rows, self._sums, strict=True)
        self._p = [np.exp(piece - summed[:, None]).astype(np.float32) for (_, _, piece), summed in pairs]  # [t,V] each
        self._best = [piece.argmax(-1) for _, _, piece in self._rows]  # [t] each
        self._lengths = tuple(lengths)

    def shift(self, other: Floats) -> Shift:
        """How far other logits [B,T,V] are from these."""
        divergences, same = [], 0
        for piece in self._beside(other):
            divergences.append((piece.row, piece.first, piece.divergence))
            same += int((piece.theirs.argmax(-1) == piece.best).sum())
        count = sum(self._lengths)
        total = sum(float(each.sum()) for _, _, each in divergences)
        row, first, worst = max(divergences, key=lambda each: float(each[2].max()))
        place = int(worst.argmax())
        return Shift(total / count, float(worst[place]), (row, first + place), same / count)

    def by_position(self, other: Floats) -> Iterator[PositionShift]:
        """The same of each position."""
        for piece in self._beside(other):
            chosen = piece.theirs.argmax(-1)  # [t]
            for at, (mine, theirs) in enumerate(zip(piece.best.tolist(), chosen.tolist(), strict=True)):
                q = float(np.exp(piece.theirs[at, theirs] - piece.their_sum[at]))
                guesses = Guess(mine, float(piece.p[at, mine])), Guess(theirs, q)
                yield PositionShift(piece.row, piece.first + at, float(piece.divergence[at]), *guesses)

    def _beside(self, other: Floats) -> Iterator[_Piece]:
        for (row, first, theirs), (_, _, mine), summed, p, best in zip(
            _pieces(other, self._lengths), self._rows, self._sums, self._p, self._best, strict=True
        ):
            their_sum = _log_sum(theirs)
            yield _Piece(row, first, p, best, theirs, their_sum, _divergence(p, mine, theirs, summed, their_sum))


@dataclass(frozen=True, eq=False, slots=True)
class _Piece:
    """Some positions of one row."""

    row: int
    first: int
    p: Floats  # [t,V]
    best: npt.NDArray[np.intp]  # [t]
    theirs: Floats  # [t,V]
    their_sum: npt.NDArray[np.float64]  # [t]
    divergence: npt.NDArray[np.float64]  # [t]


def _pieces(logits: Floats, lengths: Sequence[int]) -> Iterator[tuple[int, int, Floats]]:
    """Row, first position and logits [t,V] of some positions at a time."""
    step = max(1, _AT_ONCE // max(1, logits.shape[-1]))
    for row, length in enumerate(lengths):
        for first in range(0, length, step):
            yield row, first, logits[row, first : min(first + step, length)]


def _divergence(p: Floats, mine: Floats, theirs: Floats, summed: Floats, their_sum: Floats) -> npt.NDArray[np.float64]:
    """Of each position [t], from the original's probabilities and both sides' logits [t,V]."""
    # log p - log q: small where they are close, so that float32 rounds it little.
    with np.errstate(invalid="ignore"):
        ratio = (mine - theirs) - (summed - their_sum)[:, None].astype(mine.dtype)
        divergence = np.einsum("tv,tv->t", p, ratio, dtype=np.float64)  # [t]
        if not np.isfinite(divergence).all():
            # A probability of 0 adds nothing, whatever the other one is.
            divergence = np.where(p > 0, p * ratio, 0.0).sum(-1, dtype=np.float64)
    return np.asarray(np.maximum(divergence, 0.0))


def _log_sum(logits: Floats) -> npt.NDArray[np.float64]:
    """log Σ exp of each position [t]."""
    most = logits.max(-1)
    return np.asarray(most + np.log(np.exp(logits - most[:, None]).sum(-1, dtype=np.float64)))

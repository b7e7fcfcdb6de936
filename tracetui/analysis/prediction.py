"""What the model predicts: the most probable next tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.trace.record import Record, Token
from tracetui.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Prediction:
    """One candidate for the next token."""

    token: Token
    probability: float
    logit: float


def next_tokens(trace: Trace, k: int, batch: int = 0, position: int = -1) -> tuple[Prediction, ...]:
    """The k most probable tokens after a position of prompt `batch`, best first; empty before there are logits.

    A negative position counts from the end of the prompt. Raises IndexError for one whose logits weren't computed.
    """
    record = trace.find("logits")
    if record is None or len(record.shape) != 3:
        return ()
    logits = trace.value(record).read((batch, _place(trace, record, batch, position))).astype(np.float64)  # [V]
    finite = np.where(np.isnan(logits), -np.inf, logits)  # [V]
    best = np.argsort(-finite, kind="stable")[:k]  # [k]
    weights = np.exp(finite - finite[best[0]])  # [V]
    probabilities = weights / weights.sum()  # [V]
    return tuple(Prediction(trace.token(int(i)), float(probabilities[i]), float(logits[i])) for i in best)


def _place(trace: Trace, record: Record, batch: int, position: int) -> int:
    """Where in the logits [B,T or the last alone,V] a position of a prompt stands."""
    rows, computed = record.shape[:2]
    if not 0 <= batch < rows:
        raise IndexError(f"row: must be 0 to {rows - 1}, got {batch}")
    length = len(trace.tokens[batch]) if batch < len(trace.tokens) else computed
    place = length + position if position < 0 else position
    # A model that computes the last position's logits alone gives a row of one.
    place -= 0 if computed >= length else length - computed
    if not 0 <= place < computed or position >= length:
        raise IndexError(f"position: there are logits of {computed} of {length} positions, not of {position}")
    return place

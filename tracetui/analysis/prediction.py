"""What the model predicts: the most probable next tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tracetui.trace.record import Token
from tracetui.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Prediction:
    """One candidate for the next token."""

    token: Token
    probability: float
    logit: float


def next_tokens(trace: Trace, k: int, batch: int = 0) -> tuple[Prediction, ...]:
    """The k most probable tokens after the last token of prompt `batch`, best first; empty before there are logits."""
    record = trace.find("logits")
    if record is None or len(record.shape) != 3:
        return ()
    last = min(len(trace.tokens[batch]) if batch < len(trace.tokens) else record.shape[1], record.shape[1]) - 1
    logits = trace.value(record).read((batch, last)).astype(np.float64)  # [V]
    finite = np.where(np.isnan(logits), -np.inf, logits)  # [V]
    best = np.argsort(-finite, kind="stable")[:k]  # [k]
    weights = np.exp(finite - finite[best[0]])  # [V]
    probabilities = weights / weights.sum()  # [V]
    return tuple(Prediction(trace.token(int(i)), float(probabilities[i]), float(logits[i])) for i in best)

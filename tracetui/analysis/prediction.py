"""What the model predicts: the most probable next tokens."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np

from tracetui.recording.outline import with_depth
from tracetui.recording.record import Record, Token, when
from tracetui.recording.trace import Trace
from tracetui.recording.value import Array

_EMBEDDING = "Embedding"
"""In the name of a class whose weight is a table of tokens or positions."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One candidate for the next token."""

    token: Token
    probability: float
    logit: float

    def __repr__(self) -> str:
        """`<Prediction 1151 'ait': 0.0557%, logit 0.91>`"""
        text = self.token.bytes.decode("utf-8", "replace")
        return f"<Prediction {self.token.id} {text!r}: {self.probability:.3%}, logit {self.logit:.4g}>"


def next_tokens(trace: Trace, k: int, batch: int = 0, position: int = -1) -> tuple[Prediction, ...]:
    """The k most probable tokens after a position of row `batch`, best first; those whose logit is NaN left out.

    Empty before there are logits. A negative position counts from the row's end, a last token that went through no
    pass left out. Raises IndexError for one whose logits weren't computed.
    """
    logits = _logits(trace, batch, position)  # [V]
    if logits is None:
        return ()
    shares = _shares(logits)  # [V]
    best = [at for at in np.argsort(-_finite(logits), kind="stable")[:k] if not np.isnan(logits[at])]  # [k]
    return tuple(Prediction(trace.token(int(i)), float(shares[i]), float(logits[i])) for i in best)


def probabilities(trace: Trace, batch: int = 0, position: int = -1) -> Array | None:
    """The probability [V] of every token after a position, as `next_tokens` has it; None before there are logits."""
    logits = _logits(trace, batch, position)  # [V]
    return None if logits is None else _shares(logits)


def scores_of_tokens(trace: Trace, pass_: int = 0) -> Record | None:
    """The record [B,T,V] with a score for every token of the vocabulary; None where a pass has none.

    A model of one's own may return a bare tensor. It is taken for that where it has a number for each row of a table
    of embeddings, and other ones than these are wide.
    """
    record = trace.find(f"logits{when(pass_)}")
    if record is not None:
        return record if len(record.shape) == 3 and record.shape[-1] else None
    returned = trace.find(f"output{when(pass_)}")
    return returned if returned is not None and _is_wide_as_vocabulary(trace, returned) else None


def _is_wide_as_vocabulary(trace: Trace, returned: Record) -> bool:
    tables = [
        shape for _, module in with_depth(trace.outline) for _, shape in module.weights if _EMBEDDING in module.kind
    ]
    wide = len(returned.shape) == 3 and returned.shape[-1]
    return bool(wide) and any(len(shape) == 2 and shape[0] == wide != shape[1] for shape in tables)


def _logits(trace: Trace, batch: int, position: int) -> Array | None:
    prompt = scores_of_tokens(trace)
    if prompt is None:
        return None
    record, place = _place(trace, prompt, batch, position)
    return trace.value(record).read((batch, place)).astype(np.float64)  # [V]


def _finite(logits: Array) -> Array:
    """The logits [V] with the least one for NaN."""
    return np.where(np.isnan(logits), -np.inf, logits)  # [V]


def _shares(logits: Array) -> Array:
    """The probabilities [V]; that of a NaN is 0."""
    finite = _finite(logits)  # [V]
    with np.errstate(invalid="ignore"):  # All may be NaN: then no share is a number.
        weights = np.exp(finite - finite.max())  # [V]
    shares: Array = weights / weights.sum()  # [V]
    return shares


def last_position(trace: Trace, batch: int, pass_: int) -> int:
    """The position of a row after which a pass predicts; -1 if the trace has no such row."""
    if batch >= len(trace.tokens):
        return -1
    return min(trace.prompt_lengths[batch] + pass_, len(trace.tokens[batch])) - 1


def _place(trace: Trace, prompt: Record, batch: int, position: int) -> tuple[Record, int]:
    """The logits [B,T or the last alone,V] that a position of a row has, and where in them; `prompt` is pass 0's."""
    rows, computed = prompt.shape[:2]
    if not 0 <= batch < rows:
        raise IndexError(f"row: must be 0 to {rows - 1}, got {batch}")
    prompt_length = trace.prompt_lengths[batch] if batch < len(trace.tokens) else computed
    later = min(_later_passes(trace), len(trace.tokens[batch]) - prompt_length) if batch < len(trace.tokens) else 0
    place = prompt_length + later + position if position < 0 else position
    if prompt_length <= place < prompt_length + later:
        record = scores_of_tokens(trace, place - prompt_length + 1)
        assert record is not None
        return record, 0
    # A model that computes the last position's logits alone gives a row of one.
    inside = place - (0 if computed >= prompt_length else prompt_length - computed)
    if not 0 <= inside < computed or place >= prompt_length + later:
        those = f"{computed + later} of {prompt_length + later} positions"
        raise IndexError(f"position: there are logits of {those}, not of {position}")
    return prompt, inside


def _later_passes(trace: Trace) -> int:
    """How many passes after the first have logits; they come one after another."""
    return next(pass_ for pass_ in count() if scores_of_tokens(trace, pass_ + 1) is None)

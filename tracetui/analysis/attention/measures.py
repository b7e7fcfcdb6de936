"""What a head does, in a few numbers: how widely it looks, at what, and how much it writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracetui.analysis.attention.scores import AttentionView, Hidden, Matrix
from tracetui.analysis.axes import axis_positions
from tracetui.recording.record import Token
from tracetui.recording.value import is_kept

NOTHING = float("nan")
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeadMeasures:
    """Means over the queries that see more than one key; NaN where there is nothing to measure."""

    entropy: float
    """Of a query's probabilities, in bits: 0 is one key, log2 of their number all alike."""
    sink: float
    """The share of the prompt's first token."""
    previous: float
    """The share of the token just before the query."""
    induction: float
    """The share of the tokens that followed the query's own token earlier in the prompt."""
    distance: float
    """How many tokens back the keys lie, each weighed by its probability."""
    norm: float
    """L2 norm of the head's output, before o_proj."""


@dataclass(frozen=True, slots=True)
class MeasureName:
    """How a measure is called, and how large it may be; None: as large as it happens to be."""

    words: str
    short: str
    most: float | None = None


MEASURES: Mapping[str, MeasureName] = {
    "entropy": MeasureName("entropy in bits", "entropy"),
    "sink": MeasureName("share of the first token", "sink", 1.0),
    "previous": MeasureName("share of the token before", "previous", 1.0),
    "induction": MeasureName("induction: share of what followed the token earlier", "induction", 1.0),
    "norm": MeasureName("norm of the head's output", "‖out‖"),
    "distance": MeasureName("distance of the keys in tokens", "distance"),
}


def measure(view: AttentionView, head: int, batch: int = 0) -> tuple[HeadMeasures, Matrix]:
    """The measures of a head, and its probabilities [T,S] with -inf where the mask hides a key.

    Raises UnexplainedError where its probabilities aren't the model's, NotKeptError where they can't be computed.
    """
    shares, hidden = view.plane("probs", head, batch)  # [T,S]
    queries, keys = _positions(view)
    rows = (~hidden).sum(axis=1) > 1  # [T]
    seen, places = np.where(hidden, np.float32(0), shares)[rows], queries[rows]
    measures = HeadMeasures(
        entropy=_mean(-(seen * np.log2(np.where(seen > 0, seen, 1))).sum(axis=1)),
        sink=_mean(seen[:, keys == 0].sum(axis=1)) if 0 in keys else NOTHING,
        previous=_mean(np.where(keys[None] == places[:, None] - 1, seen, 0).sum(axis=1)),
        induction=_induction(seen, places, keys, [token.id for token in _tokens(view, batch)]),
        distance=_mean(places * seen.sum(axis=1) - seen @ keys.astype(np.float32)),
        norm=_norm(view, head, batch),
    )
    return measures, _with_hidden(shares, hidden)


def _with_hidden(shares: Matrix, hidden: Hidden) -> Matrix:
    return np.where(hidden, np.float32(-np.inf), shares)


def _positions(view: AttentionView) -> tuple[Places, ...]:
    """Of the queries [T] and of the keys [S]; counted from 0 where the trace doesn't tell."""
    pairs = (("query", view.query.shape[2]), ("key", view.key.shape[2]))
    ranges = [axis_positions(name, length, view.trace, view.query.pass_) or range(length) for name, length in pairs]
    return tuple(np.arange(each.start, each.stop) for each in ranges)


def _tokens(view: AttentionView, batch: int) -> Sequence[Token]:
    return view.trace.tokens[batch] if batch < len(view.trace.tokens) else ()


def _induction(
    seen: Matrix,
    places: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    keys: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    ids: Sequence[int],
) -> float:
    """The share of keys whose token before is the query's own, among the queries whose token came earlier."""
    if not len(places) or max(places.max(), keys.max()) >= len(ids):
        return NOTHING
    token_ids = np.array(ids)
    before = np.where(keys > 0, token_ids[np.maximum(keys - 1, 0)], -1)  # [S]
    follows = (before[None] == token_ids[places][:, None]) & (keys[None] <= places[:, None])  # [T,S]
    repeats = follows.any(axis=1)  # [T]
    return _mean(np.where(follows, seen, 0).sum(axis=1)[repeats])


def _norm(view: AttentionView, head: int, batch: int) -> float:
    record = view.beside("heads")
    if record is None or not is_kept(view.trace.value(record)):
        return NOTHING
    output = view.trace.value(record).read((batch, head)).astype(np.float32)  # [T,Kv]
    return _mean(np.sqrt((output * output).sum(axis=1)))


def _mean(numbers: npt.NDArray[np.floating]) -> float:
    return float(numbers.mean()) if numbers.size else NOTHING

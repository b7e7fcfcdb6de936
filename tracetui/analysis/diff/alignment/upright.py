"""Tensors of a file that keeps all axes reversed, as [D,T] for [T,D]: turned, so that rows are tokens on both sides.

B's are laid out as A's are, and distances are taken by rows: where A is the reversed side, it has to turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracetui.analysis.diff.alignment.align import Alignment, Pair
from tracetui.analysis.mapping.layouts import Layout
from tracetui.recording.trace import Trace

_GGML = ("ggml", "gguf")
"""Whose shapes begin with the axis that lies together in memory."""


def upright(alignment: Alignment, a: Trace, b: Trace) -> Alignment:
    """The alignment with A's tensors turned where A is the side that has its axes reversed."""
    pairs = alignment.pairs
    turned = [pair for pair in pairs if _is_turned(pair)]
    if not turned or not a.dump or (b.dump and not _is_a(turned)):
        return alignment
    whole = all(_is_turned(pair) or _turns_into_itself(pair) for pair in pairs if _same_rank(pair))
    stood = tuple(_upright(pair) if whole or _is_turned(pair) else pair for pair in pairs)
    return replace(alignment, pairs=stood)


def _upright(pair: Pair) -> Pair:
    record = pair.a.record
    if len(record.shape) < 2:
        return pair
    layout = pair.a.layout.then(Layout("axes reversed", lambda array: array.T))
    return replace(pair, a=replace(pair.a, record=replace(record, shape=record.shape[::-1]), layout=layout))


def _shapes(pair: Pair) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of both sides, without axes of length 1."""
    a, b = (tuple(length for length in named.record.shape if length != 1) for named in (pair.a, pair.b))
    return a, b


def _same_rank(pair: Pair) -> bool:
    a, b = _shapes(pair)
    return len(a) == len(b) > 1


def _is_turned(pair: Pair) -> bool:
    a, b = _shapes(pair)
    return len(a) > 1 and a == b[::-1] and a != b


def _turns_into_itself(pair: Pair) -> bool:
    a, b = _shapes(pair)
    return a == b == b[::-1]


def _is_a(turned: Sequence[Pair]) -> bool:
    """Whether A is the reversed one of two files, by whose names they are, by axes of length 1, or by lengths.

    A prompt's length is the last one of all tensors of the side that is reversed.
    """
    a, b = (tuple(side) for side in zip(*((pair.a, pair.b) for pair in turned), strict=True))
    graphs = [any(named.naming in _GGML for named in side) for side in (a, b)]
    if graphs[0] != graphs[1]:
        return graphs[0]
    ones = [sum(_batch_last(named.record.shape) for named in side) for side in (a, b)]
    if ones[0] != ones[1]:
        return ones[0] > ones[1]
    lengths = [len({named.record.shape[-1] for named in side}) for side in (a, b)]
    return lengths[0] < lengths[1]


def _batch_last(shape: tuple[int, ...]) -> int:
    """1 where the batch of one prompt stands last, -1 where it stands first."""
    return (shape[-1:] == (1,)) - (shape[:1] == (1,))

"""Whether a tensor is a sum of the residual stream and of what modules returned: proven on a sample of its values.

Sums are told within the rounding of their dtypes. Where NaN and infinities leave nobody the means to tell, the answer
is None.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import torch

from tracetui.native.sums import left_of_sum
from tracetui.tracer.capture.statistics import floats_in
from tracetui.tracer.residual.plain_sum import NEGLIGIBLE, are_as_wide, few, is_plain_sum, runs_of

_BETTER = 2
"""How many times nearer a sum must be than what it is without its smaller part."""
_ROUNDINGS = 8
"""How many times a sum of a few terms may have been rounded."""
_CANCELLED = 1000
"""How many times larger than a sum its terms may be."""
_TOKENS = 2
"""How many tokens are looked at where each has sums of its own."""
_SPARE = 2
"""How many times more values than unknowns there must be."""
_MOST_STREAMS = 16
Sample = npt.NDArray[np.float64]
"""Rows and columns of a tensor [rows, columns]."""


def is_sum(
    tensor: torch.Tensor,
    stream: torch.Tensor,
    factors: Sequence[torch.Tensor],
    normed: torch.Tensor | None,
    others: Sequence[torch.Tensor],
) -> bool | None:
    """Whether a tensor is α·stream + β·others[0] + …, with the stream [B,T,D] as it is, scaled by one of the factors
    [D] or as its norm.
    """
    if not others:
        return False
    if is_plain_sum(tensor, stream, others[-1]):
        return True
    terms = [stream, *(() if normed is None else (normed,)), *others]
    eps = _coarsest(tensor, stream, *others)
    if not factors and _is_far_at_a_glance([tensor, *terms], eps):
        return False
    total, base = _sample(tensor), _sample(stream)
    bases = [base, *(base * _sample(factor) for factor in factors)]
    bases += [_sample(normed)] if normed is not None else []
    parts = [np.broadcast_to(_sample(each), total.shape) for each in others]
    if not _all_finite(total, *bases, *parts):
        return None
    if _is_far_from_all(total, [*bases, *parts], eps):
        return False
    return any(_fits(total, [each], parts[-1:], eps) for each in bases) or _fits(total, bases, parts, eps)


def _is_far_from_all(total: Sample, terms: Sequence[Sample], eps: float) -> bool:
    """Whether no multiples of these come so near to a total that `_fits` could hold for any of them."""
    if (allowed := _allowed_share(len(terms), total.size, eps)) >= 1:
        return False
    directions = np.linalg.qr(np.stack([each.ravel() for each in terms], axis=1))[0]
    left = total.ravel() - directions @ (directions.T @ total.ravel())
    return bool(np.linalg.norm(left) > allowed * np.linalg.norm(total))


def _is_far_at_a_glance(tensors: Sequence[torch.Tensor], eps: float) -> bool:
    """The same of a total and its terms, in another sample; False where compiled code can't read all of them."""
    runs, rows = runs_of(tensors[0].shape), array("q")
    if (allowed := _allowed_share(len(tensors) - 1, runs.elements, eps)) >= 1:
        return False
    for tensor in tensors:
        row = floats_in(tensor)
        if row is None or not are_as_wide(tensor, tensors[0]) or not tensor.is_contiguous():
            return False
        rows.extend(row)
    norms = left_of_sum(rows, runs)
    # With NaN in the sample nobody knows.
    return norms is not None and norms.left > allowed * norms.total


def _allowed_share(terms: int, values: int, eps: float) -> float:
    """How much of a sum may be left over by its terms, as far as it is rounded: each value by a few roundings of terms
    that are at most so many times larger than all of the sum.
    """
    return _ROUNDINGS * eps * (_CANCELLED * terms + 2) * math.sqrt(values)


def is_anew(output: torch.Tensor, first: torch.Tensor, last: torch.Tensor, stream: torch.Tensor) -> bool:
    """Whether what a layer returned is first + last and nothing of the stream: the stream begins anew with `first`."""
    total, begun, added, before = (_sample(each) for each in (output, first, last, stream))
    if not _all_finite(total, begun, added, before) or added.shape != total.shape:
        return False
    eps = _coarsest(output, first, last)
    # Of one token a norm is a multiple of the stream, and what is added to either is added to the other.
    return _fits(total, [begun], [added], eps) and not _fits(begun, [before], [before], eps)


def is_mixed(tensor: torch.Tensor, stack: torch.Tensor) -> bool:
    """Whether each token of a tensor [B,T,D] is a sum of that token in several streams ([n,B,T,D] or [B,T,n,D])."""
    streams = _streams(stack, tensor)
    if streams is None:
        return False
    total, eps = _sample(tensor), _coarsest(tensor, stack)
    if not _all_finite(total, streams) or not _told(streams.shape[1], total.shape[1]):
        return False
    tokens = zip(total[-_TOKENS:], streams[-_TOKENS:], strict=True)
    return all(_fits(one, list(each), [], eps) for one, each in tokens)


def is_sum_of_streams(tensor: torch.Tensor, stack: torch.Tensor, last: torch.Tensor) -> bool:
    """Whether each of several streams is, token by token, a sum of all as they were and of `last` [B,T,D]."""
    made, streams = _streams(tensor, last), _streams(stack, last)
    if made is None or streams is None or made.shape != streams.shape:
        return False
    added, eps = _sample(last), _coarsest(tensor, stack, last)
    if not _all_finite(made, streams, added) or not _told(streams.shape[1] + 1, added.shape[1]):
        return False
    tokens = list(zip(*(each[-_TOKENS:] for each in (made, streams, added)), strict=True))
    whole = all(_fits(total, [*each], [], eps, [part]) for totals, each, part in tokens for total in totals)
    return whole and any(_fits(total, [*each], [part], eps) for totals, each, part in tokens for total in totals)


def is_scaled_sum(tensor: torch.Tensor, stream: torch.Tensor, last: torch.Tensor, own: Sequence[torch.Tensor]) -> bool:
    """Whether a tensor is a sum of the stream and `last`, each scaled and moved channel by channel by `own` [D].

    Of a single token nobody can tell that from the norm of a sum.
    """
    total, base, added = (_sample(each) for each in (tensor, stream, last))
    vectors = [_sample(each)[0] for each in own]
    if not total.shape == base.shape == added.shape or len(total) < 2 or not _all_finite(total, base, added, *vectors):
        return False
    moved = [*vectors, *(one * other for one, other in combinations_with_replacement(vectors, 2))]
    offsets = [np.broadcast_to(each, total.shape) for each in moved]
    bases, parts = ([each, *(each * vector for vector in vectors)] for each in (base, added))
    if not _told(len(bases) + len(parts) + len(offsets), total.size):
        return False
    return _fits(total, bases, parts, _coarsest(tensor, stream, last), offsets)


def same_values(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers, in whatever dtype."""
    return one.numel() == other.numel() and bool(torch.equal(few(one).float(), few(other).float()))


def _sample(tensor: torch.Tensor) -> Sample:
    return few(tensor).detach().to(device="cpu", dtype=torch.float64).numpy()


def _streams(stack: torch.Tensor, like: torch.Tensor) -> Sample | None:
    """A sample of several streams, side by side or behind each other, of the tokens of `like` [rows, n, columns]."""
    width = like.shape[-1]
    count, rest = divmod(stack.numel(), max(1, like.numel()))
    if rest or not 2 <= count <= _MOST_STREAMS:
        return None
    if stack.shape[1:] == like.shape:
        each = list(stack)
    elif stack.shape[-1] in (width, count * width) and stack.shape[: like.dim() - 1] == like.shape[:-1]:
        each = list(stack.reshape(-1, count, width).unbind(1))
    else:
        return None
    return np.stack([_sample(stream) for stream in each], axis=1)


def _told(unknowns: int, values: int) -> bool:
    """Whether there are so many more values than unknowns that no chance makes them fit."""
    return values >= _SPARE * unknowns


def _all_finite(*samples: Sample) -> bool:
    return all(np.isfinite(each).all() for each in samples)


def _coarsest(*tensors: torch.Tensor) -> float:
    return max(torch.finfo(each.dtype).eps for each in tensors)


def _fits(
    total: Sample, bases: Sequence[Sample], parts: Sequence[Sample], eps: float, offsets: Sequence[Sample] = ()
) -> bool:
    """Whether a total is a sum of multiples of all, in which bases and parts have a share; without parts, the bases."""
    columns = np.stack([each.ravel() for each in (*bases, *parts, *offsets)], axis=1)
    columns /= np.maximum(np.linalg.norm(columns, axis=0), np.finfo(np.float64).tiny)
    # Of one token the norm is a multiple of the stream: what both differ by is rounding, and fits anything.
    weights = np.linalg.lstsq(columns, total.ravel(), rcond=eps)[0]
    terms = columns * weights
    size, values = np.linalg.norm(total), np.abs(total.ravel())
    if np.linalg.norm(terms, axis=0).max() > _CANCELLED * size:
        return False
    # What others are rounded by moves the weights, and through them the smallest values.
    scale = np.abs(terms).sum(axis=1) + values + np.median(values)
    off = (terms.sum(axis=1) - total.ravel()) / np.maximum(scale, np.finfo(np.float64).tiny)
    if (np.abs(off) > _ROUNDINGS * eps).any():
        return False
    behind = len(bases) + len(parts)
    of_stream = np.linalg.norm(terms[:, : len(bases)].sum(axis=1))
    of_parts = np.linalg.norm(terms[:, len(bases) : behind].sum(axis=1))
    # Where an edit has made attention nothing, the stream goes on as it was.
    added = not parts or of_parts > _ROUNDINGS * eps * size or not parts[-1].any()
    if not added and size:
        left = np.delete(columns, np.s_[len(bases) : behind], axis=1)
        without = left @ np.linalg.lstsq(left, total.ravel(), rcond=eps)[0] - total.ravel()
        # What is added is small beside the largest values of the stream: it counts if the others can't do without.
        added = np.linalg.norm(without / scale) > max(_BETTER * np.linalg.norm(off), eps / 8 * np.sqrt(total.size))
    return bool(of_stream > NEGLIGIBLE * size and added)

"""The likeliest sum: what torch makes of the stream and of one tensor that is added to it, to the last bit.

It is told on a sample, which needs no weights to be looked for.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from tracetui.native.sums import Runs, look_at_sums
from tracetui.tracer.capture.statistics import floats_in

_ROWS, _COLUMNS = 8, 64
"""How much of a tensor is looked at where only torch can read it."""
_RUN, _RUNS = 16, 32
"""How many elements that lie one beside the other are looked at in one go, and how often: as many as a cache line
holds of float32, since of each line that is fetched for one of them the others are there for nothing."""
NEGLIGIBLE = 1e-6
"""A smaller share of a sum than this counts as nothing."""
_MOVED = 1 / 16
"""The share of a sum's values that differ from what they were before it, at least."""


def is_plain_sum(tensor: torch.Tensor, stream: torch.Tensor, last: torch.Tensor) -> bool:
    """Whether a tensor is what torch makes of stream + last, to the last bit, and both have a part in it."""
    if not tensor.dtype == stream.dtype == last.dtype or not tensor.device == stream.device == last.device:
        return False
    alike = are_as_wide(stream, tensor) and are_as_wide(last, tensor)
    return alike and plain_sums((tensor,), (stream,), (last,))[0]


def plain_sums(
    tensors: Sequence[torch.Tensor], streams: Sequence[torch.Tensor], last: Sequence[torch.Tensor]
) -> list[bool]:
    """What `is_plain_sum` says of each of several sums, all of one dtype, on one device and of as many rows as wide."""
    answers = _compiled(tensors, streams, last)
    if answers is not None:
        return answers
    return _are_sums(*(torch.stack(list(map(few, each))) for each in (tensors, streams, last)))


def are_as_wide(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors have as many elements, in rows of one length."""
    return one.numel() == other.numel() and one.shape[-1:] == other.shape[-1:]


def few(tensor: torch.Tensor) -> torch.Tensor:
    """A few rows and columns of a tensor, the same of each [rows, columns]."""
    width = tensor.shape[-1]
    count = tensor.numel() // max(1, width)
    by_rows, by_columns = -(-count // _ROWS), -(-width // _COLUMNS)
    if count and tensor.is_contiguous():
        # One view in place of four.
        size = (-(-count // by_rows), -(-width // by_columns))
        return tensor.as_strided(size, (by_rows * width, by_columns))
    rows = tensor.detach().reshape(-1, width)
    if count <= _ROWS and width <= _COLUMNS:
        return rows
    return rows[::by_rows, ::by_columns]


def _compiled(
    tensors: Sequence[torch.Tensor], streams: Sequence[torch.Tensor], last: Sequence[torch.Tensor]
) -> list[bool] | None:
    """The same by compiled code, where it can read all of them."""
    addresses, kind = array("q"), 0
    for tensor in (each for sums in zip(tensors, streams, last, strict=True) for each in sums):
        row = floats_in(tensor)
        if row is None or not tensor.is_contiguous():
            return None
        addresses.append(row[0])
        kind = row[2]
    runs = runs_of(tensors[0].shape)
    samples = look_at_sums(addresses, kind, runs)
    if samples is None:
        return None
    least = _MOVED * runs.elements
    # Where what is added isn't finite, nor is the sum: than its size nothing is larger.
    return [
        bool(each.equal) and each.stream_squares > NEGLIGIBLE**2 * each.total_squares and each.moved > least
        for each in samples
    ]


def _are_sums(totals: torch.Tensor, streams: torch.Tensor, last: torch.Tensor) -> list[bool]:
    """Of samples [sums, rows, columns], by torch."""
    total, one, made = map(_numbers, (totals, streams, streams + last))
    sizes, of_streams = (np.linalg.norm(each, axis=1) for each in (total, one))  # [sums]
    moved = np.count_nonzero(total != one, axis=1)  # [sums]
    enough = (of_streams > NEGLIGIBLE * sizes) & (moved > _MOVED * total.shape[1])
    answers: list[bool] = ((total == made).all(axis=1) & enough).tolist()
    return answers


def _numbers(stack: torch.Tensor) -> npt.NDArray[np.floating]:
    """Several tensors' own numbers, each in a row; of a narrow dtype as float32, which holds them all."""
    rows = stack.detach().reshape(len(stack), -1)
    return (rows if rows.dtype == torch.float64 else rows.float()).cpu().numpy()


@lru_cache(256)
def runs_of(shape: torch.Size) -> Runs:
    """Where in a tensor of this shape runs of elements begin that are looked at: in some of its rows, the first and the
    last among them, and in each of these at other channels, so that together they have most of them.
    """
    width = shape[-1]
    count, length = shape.numel() // max(1, width), min(width, _RUN)
    if not count:
        return Runs(array("q"), 0)
    rows = min(count, _ROWS)
    each = min(-(-_RUNS // rows), -(-width // length))
    step = (width - length) / max(1, rows * each - 1)
    return Runs(
        array(
            "q",
            sorted(
                row * (count - 1) // max(1, rows - 1) * width + _aligned(int((place * rows + row) * step), width)
                for row in range(rows)
                for place in range(each)
            ),
        ),
        length,
    )


def _aligned(column: int, width: int) -> int:
    """Where a cache line begins, if a row consists of whole ones."""
    return column if width % _RUN else column // _RUN * _RUN

"""Reading what of a tensor lies on one rank: rows and columns of it, and never more than a block beside."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracetui.models.ranks.local import whole_indices
from tracetui.models.weights.sources import TensorSpec, Tick, WeightSource

_BLOCK = 2**24
"""Bytes of whole rows that are read at once where only columns of them are wanted."""


def read_box(source: WeightSource, spec: TensorSpec, parameter: torch.Tensor, tick: Tick) -> torch.Tensor:
    """The part of a tensor that lies here of a parameter of its shape, which may be one of several ranks."""
    boxes = [whole_indices(parameter, dimension) for dimension in range(len(spec.shape))]
    cut = [len(box) < length for box, length in zip(boxes, spec.shape, strict=True)]
    if not any(cut):
        return source.read(spec, None, tick)
    rows = _rows(boxes[0])
    if not any(cut[1:]):
        return source.read(spec, rows, tick)
    out = torch.empty([len(box) for box in boxes], dtype=spec.dtype)
    at_once = max(1, _BLOCK // max(1, spec.nbytes(1)))
    for start in range(0, len(rows), at_once):
        part = source.read(spec, rows[start : start + at_once], tick)
        for dimension, box in enumerate(boxes[1:], 1):
            if cut[dimension]:
                part = part.index_select(dimension, box)
        out[start : start + at_once] = part
    return out


def _rows(indices: torch.Tensor) -> Sequence[int]:
    """Rows by their numbers; as a range where they follow one another, which is read at once."""
    rows: list[int] = indices.tolist()
    if rows and rows[-1] - rows[0] == len(rows) - 1 and rows == list(range(rows[0], rows[-1] + 1)):
        return range(rows[0], rows[-1] + 1)
    return rows

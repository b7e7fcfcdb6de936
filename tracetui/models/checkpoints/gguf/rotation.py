"""Whether rows of queries stand in adjacent pairs or in halves, as the weights themselves show.

Rows that turn by one frequency are about as long, in trained models, and so are those of near frequencies: lengths
within a head change slowly along the frequencies. In halves, row i and row i + K/2 are of one frequency, in pairs of
frequencies far apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from tracetui.formats.gguf.files import GgufFiles
from tracetui.models.checkpoints.gguf.stored import BlockTensor
from tracetui.models.checkpoints.weight_file import WeightFile

_LAYERS, _MOST_ROWS = 5, 1024
_IN_HALVES, _FAR_APART = 0.8, 1.0
"""Differences in length between rows half a head apart, beside those of any two: 0.1 to 0.7 where they turn together,
1.2 to 1.7 where they don't."""
_LEAST_SPREAD = 20.0
"""Differences in length that tell something, beside those of rows drawn at random."""


def stands_in_pairs(files: GgufFiles, file: WeightFile, heads: int) -> bool | None:
    """None where the lengths of rows tell nothing, as of random weights."""
    spreads = [spread for matrix in _queries(files, file, heads) if (spread := _half_apart(matrix)) is not None]
    if not spreads:
        return None
    middle = float(torch.tensor(spreads).median())
    return None if _IN_HALVES <= middle <= _FAR_APART else middle > _FAR_APART


def _queries(files: GgufFiles, file: WeightFile, heads: int) -> Iterator[torch.Tensor]:
    """The first heads' rows of some layers, [H,K,D], of those in this file."""
    names = [name for name in files.tensors if name.endswith(".attn_q.weight") and files.path_of[name] == file.path]
    for name in names[:: max(1, len(names) // _LAYERS)]:
        tensor = BlockTensor(name, file, files.tensors[name])
        rows, width = tensor.shape if len(tensor.shape) == 2 else (0, 0)
        size = rows // heads
        if not size or not width or rows % (2 * heads):
            continue  # no queries of this model: refused by its shape when the weights are asked for
        heads_read = min(heads, max(1, _MOST_ROWS // size))
        yield tensor.read(range(heads_read * size), torch.float32, lambda made: None).view(heads_read, size, width)


def _half_apart(rows: torch.Tensor) -> float | None:
    """How far lengths half a head apart differ, beside the lengths of any two rows [H,K,D]."""
    _, size, width = rows.shape
    lengths = rows.norm(dim=-1).clamp_min(1e-30).log()  # [H,K]
    spread = 2 * float(lengths.var(dim=1, unbiased=False).mean())
    if size < 4 or not spread > _LEAST_SPREAD / width:
        return None
    first, second = lengths.view(len(rows), 2, size // 2).unbind(1)  # [H,K/2] each
    return float((first - second).square().mean()) / spread

"""Rows of query and key projections as other implementations order them, and as transformers does.

Meta and llama.cpp turn adjacent pairs of a head's elements, (0,1), (2,3), …; transformers turns element i with
i + K/2. Scores are the same if the rows of both projections stand in another order within each head:
first all first elements of the pairs, then all second ones.
"""

from __future__ import annotations

import torch


def halves_order(heads: int, rows: int) -> torch.Tensor:
    """The row of a projection in pairs [H*K,D] that stands at each row of transformers' in halves, [H*K]."""
    pairs = torch.arange(rows).view(heads, -1, 2)  # [H,K/2,2]
    return pairs.transpose(1, 2).reshape(rows)  # [H*K]

"""Experts that a folder has in one tensor for each kind of their matrices, as MLX writes them, by their own names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tracetui.errors import bad_field
from tracetui.models.checkpoints.safetensors.header import Stored

_STACKED = re.compile(r"(.+)\.switch_mlp\.(gate_proj|up_proj|down_proj)\.(\w+)")
_MIXTRAL = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}
"""What a `block_sparse_moe` calls an expert's matrices."""


def stacked_experts(tensors: Mapping[str, Stored], where: str) -> dict[str, dict[str, Stored]]:
    """For each stacked tensor those of single experts, by the names that transformers' files have for them.

    Raises InputError for one without experts.
    """
    apart: dict[str, dict[str, Stored]] = {}
    for name, stored in tensors.items():
        if (parts := _STACKED.fullmatch(name)) is None:
            continue
        block, matrix, end = parts.groups()
        if len(stored.shape) < 2 or not stored.shape[0]:
            raise bad_field(where, name, "must be stacked, one after another for each expert", list(stored.shape))
        matrix = _MIXTRAL[matrix] if block.endswith("block_sparse_moe") else matrix
        step = (stored.stop - stored.start) // stored.shape[0]
        places = (stored.start + expert * step for expert in range(stored.shape[0]))
        apart[name] = {
            f"{block}.experts.{expert}.{matrix}.{end}": Stored(stored.dtype, stored.shape[1:], place, place + step)
            for expert, place in enumerate(places)
        }
    return apart

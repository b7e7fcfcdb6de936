"""Rows of different length as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tracetui.recording.record import Token


def padded(
    rows: Sequence[Sequence[Token]], pad: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Token ids [B,T] and an attention mask [B,T], 1 for real tokens; None where all rows are equally long.

    Padding stands at the right, where no real token of a causal model looks.
    """
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad)  # [B,T]
    mask = torch.zeros((len(rows), longest), dtype=torch.long)  # [B,T]
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor([token.id for token in row])
        mask[place, : len(row)] = 1
    return ids.to(device), None if bool(mask.all()) else mask.to(device)

"""The tokens whose text a trace carries with its logits: who reads it has no tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tracetui.models.tokenizers import Tokenizer
from tracetui.recording.record import Token
from tracetui.recording.value import Array, Value

PREDICTIONS = 100
"""For each row."""
_ROWS = 64
"""A column of so many logits is looked at as one at first."""


class KnownTokens(dict[int, Token]):
    """Tokens by their ids, each made once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, token_id: int) -> Token:
        made = self[token_id] = self._tokenizer.token(token_id)
        return made


def predicted_tokens(tokens: Mapping[int, Token], lengths: Sequence[int], value: Value) -> dict[int, Token]:
    """The tokens that the best logits [B,T,V] at each row's last token stand for, by id."""
    if len(value.shape) != 3:
        return {}
    best_ids: set[int] = set()
    for row, length in enumerate(lengths):
        logits = value.read((row, min(length, value.shape[1]) - 1))  # [V]
        best_ids.update(best_of(logits, PREDICTIONS).tolist())
    return {token_id: tokens[token_id] for token_id in sorted(best_ids)}


def best_of(logits: Array, count: int) -> Array:
    """The ids [k] of so many of the largest logits [V], or of all, in no order; NaN is like the smallest.

    To look for them among all takes several times as long as among those alone that may be.
    """
    width = logits.size // _ROWS
    if width < 2 * count:
        return _best(logits, count)
    highest = np.fmax.reduce(logits[: _ROWS * width].reshape(_ROWS, width), axis=0)  # [width]
    highest[np.isnan(highest)] = -np.inf
    # So many columns have a logit at least as large, so that no smaller one is among the best.
    (candidates,) = (logits >= np.partition(highest, width - count)[width - count]).nonzero()  # [c]
    if candidates.size < count:
        return _best(logits, count)
    best: Array = candidates[_best(logits[candidates], count)]
    return best


def _best(logits: Array, count: int) -> Array:
    """Their places."""
    places: Array = torch.from_numpy(logits).nan_to_num(-torch.inf).topk(min(count, logits.size)).indices.numpy()
    return places

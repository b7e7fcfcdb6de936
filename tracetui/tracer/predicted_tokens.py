"""The tokens whose text a trace carries with its logits: who reads it has no tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from tracetui.models.tokenizers import Tokenizer
from tracetui.recording.record import Token
from tracetui.recording.value import Value

PREDICTIONS = 100
"""For each row."""


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
        logits = torch.from_numpy(value.read((row, min(length, value.shape[1]) - 1)))  # [V]
        best = torch.topk(logits.nan_to_num(-torch.inf), min(PREDICTIONS, logits.numel())).indices  # [k]
        best_ids.update(best.tolist())
    return {token_id: tokens[token_id] for token_id in sorted(best_ids)}

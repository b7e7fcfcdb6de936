"""Proposals for names that no table has: by shape, order of execution, layer, and the words in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracetui.analysis.mapping.layouts import layouts

MOST = 1000
"""Names a side that are looked at: the work grows with their product."""
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_LAYER = re.compile(
    r"(?:^|[._/\-])(?:layers?|blocks?|blk|h|resblocks|transformer|decoder)?[._/\-]?(\d{1,5})(?=[._/:\-]|$)"
)
_SYNONYMS = {
    **dict.fromkeys(("q", "wq", "query", "qcur"), "query"),
    **dict.fromkeys(("k", "wk", "key", "kcur"), "key"),
    **dict.fromkeys(("v", "wv", "value", "vcur"), "value"),
    **dict.fromkeys(("o", "wo", "dense", "out", "output", "proj_out"), "out"),
    **dict.fromkeys(("attention", "attn", "att", "mha"), "attention"),
    **dict.fromkeys(("mlp", "ffn", "ff", "feed", "feedforward", "forward"), "mlp"),
    **dict.fromkeys(("norm", "ln", "layernorm", "rmsnorm"), "norm"),
    **dict.fromkeys(("up", "w3", "fc1", "fc"), "up"),
    **dict.fromkeys(("down", "w2", "fc2"), "down"),
    **dict.fromkeys(("gate", "w1"), "gate"),
    **dict.fromkeys(("embed", "embedding", "embeddings", "emb", "wte", "tok", "embd"), "embedding"),
    **dict.fromkeys(("heads", "ctx", "context", "z"), "heads"),
    **dict.fromkeys(("head", "lm", "logits", "unembed"), "head"),
}
_BLOCK = frozenset({"out", "hidden", "state", "states", "resid", "residual", "post"})
"""Words that say nothing but that a layer's own output is meant, right below the layer."""
_IDLE = frozenset(
    {"hook", "proj", "layer", "layers", "block", "blocks", "blk", "model", "self", "module", "tokens", "h", "w"}
)
_LEAST = 1.2
"""Of a score: a shape alone is worth 1."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A tensor whose like is looked for."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two names that may mean the same."""

    a: str
    b: str
    evidence: str
    score: float


def proposals(a: Sequence[Unknown], b: Sequence[Unknown]) -> tuple[Proposal, ...]:
    """The pairs in order on both sides whose scores add up to most; each name at most once."""
    a, b = a[:MOST], b[:MOST]
    features_a, features_b = ([_Features.of(item) for item in side] for side in (a, b))
    fits = _Fits()
    scores = [[_score(x, y, fits) for y in features_b] for x in features_a]
    return tuple(_proposal(features_a[i], features_b[j], scores[i][j]) for i, j in _best(scores))


@dataclass(frozen=True, slots=True)
class _Features:
    item: Unknown
    words: frozenset[str]
    layer: int | None

    @staticmethod
    def of(item: Unknown) -> _Features:
        found = _LAYER.search(item.name)
        if found is None:
            return _Features(item, _words(item.name), None)
        inside = _words(item.name[found.end() :])
        words = frozenset({"block"}) if inside <= _BLOCK else _words(item.name)
        return _Features(item, words, int(found[1]))


def _words(name: str) -> frozenset[str]:
    words = (word.lower() for word in _WORDS.findall(name))
    return frozenset(_SYNONYMS.get(word, word) for word in words if not word.isdigit()) - _IDLE


class _Fits:
    """Whether one shape can be laid out as another; asked again for every pair of names."""

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], bool] = {}

    def __call__(self, a: tuple[int, ...], b: tuple[int, ...]) -> bool:
        key = (a, b)
        if key not in self._known:
            self._known[key] = next(layouts(a, b), None) is not None
        return self._known[key]


def _score(a: _Features, b: _Features, fits: _Fits) -> float:
    """0 where they can't be the same; else 1, more for the same layer and for words in common."""
    if not fits(a.item.shape, b.item.shape) or _whole(a) != _whole(b):
        return 0.0
    if a.layer is not None and b.layer is not None and a.layer != b.layer:
        return 0.0
    same_layer = 0.2 if a.layer is not None and a.layer == b.layer else 0.0
    exact = 0.1 if a.item.shape == b.item.shape else 0.0
    together = a.words | b.words
    return 1 + same_layer + exact + 2 * (len(a.words & b.words) / len(together) if together else 0)


def _whole(found: _Features) -> bool:
    return found.item.dtype.startswith(("int", "uint", "bool"))


def _best(scores: list[list[float]]) -> list[tuple[int, int]]:
    """The chain of pairs (i, j), both growing, with the greatest sum of scores that count."""
    rows, columns = len(scores), len(scores[0]) if scores else 0
    total = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            own = scores[i][j] if scores[i][j] >= _LEAST else -1.0
            total[i][j] = max(total[i + 1][j], total[i][j + 1], own + total[i + 1][j + 1])
    return list(_walk(scores, total))


def _walk(scores: list[list[float]], total: list[list[float]]) -> list[tuple[int, int]]:
    i = j = 0
    found = []
    while i < len(scores) and j < len(scores[0]):
        if scores[i][j] >= _LEAST and total[i][j] == scores[i][j] + total[i + 1][j + 1]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif total[i][j] == total[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _proposal(a: _Features, b: _Features, score: float) -> Proposal:
    shape = "×".join(map(str, a.item.shape)) or "a scalar"
    other = "×".join(map(str, b.item.shape)) or "a scalar"
    evidence = [f"both {shape}" if shape == other else f"{shape} can be {other} laid out anew"]
    if a.layer is not None and a.layer == b.layer:
        evidence.append(f"layer {a.layer}")
    if words := sorted(a.words & b.words):
        evidence.append(f"{' and '.join(words[:4])} in both")
    evidence.append("same order")
    return Proposal(a.item.name, b.item.name, ", ".join(evidence), score)

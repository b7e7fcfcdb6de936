"""Proposals for names that no table has: by shape, order of execution, layer, and the words in them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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
_MIDDLE = frozenset({"attention", "after", "post", "resid", "residual", "stream", "mid", "hidden", "inp"})
"""Words for the residual stream after attention, right below the layer: `resid_mid`, `h_attn`, `attn_residual`."""
_KINDS = frozenset({"query", "key", "value", "out", "up", "down", "gate", "norm", "router", "embedding"})
"""Words of which a name has those that its like has, unless the values are the same: no norm is a projection."""
_EXPERT = re.compile(r"experts?[._/\[](\d{1,6})")
_STREAM = frozenset({"mid", "resid", "residual", "x", "h", "stream", "hidden", "inp"})
_ALIKE = 1e-3
"""How far apart, relative, the sizes of two tensors may be that are taken to hold the same values."""
_VALUES = 4.0
"""Of a score: more than all that names and shapes can say."""
_LEARNED = 3.5
"""Of a score: the same names stand for the same values in other layers."""
_LEAST = 1.2
"""Of a score: a shape alone is worth 1."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A tensor whose like is looked for."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: tuple[float, ...] = ()
    """Statistics that no layout changes (norm, mean, minimum, maximum); empty where they aren't known."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two names that may mean the same."""

    a: str
    b: str
    evidence: str
    score: float
    alike: bool = False
    """Whether their values have the same norm, mean and extremes: more than names and order say."""


def proposals(a: Sequence[Unknown], b: Sequence[Unknown]) -> tuple[Proposal, ...]:
    """The pairs in order on both sides whose scores add up to most; each name at most once."""
    a, b = a[:MOST], b[:MOST]
    features_a, features_b = ([_Features.of(item) for item in side] for side in (a, b))
    fits = _Fits()
    scores = [[_score(x, y, fits) for y in features_b] for x in features_a]
    chosen = _best(scores)
    learned = _learned((features_a[i], features_b[j]) for i, j in chosen)
    if learned and _take_learned(scores, features_a, features_b, learned, fits):
        chosen = _best(scores)
    return tuple(_proposal(features_a[i], features_b[j], scores[i][j], learned) for i, j in chosen)


def _learned(pairs: Iterable[tuple[_Features, _Features]]) -> dict[str, str]:
    """Which form of A's names is which of B's in the layers where values tell; those alone that have one partner."""
    partners: dict[str, set[str]] = {}
    for a, b in pairs:
        if a.form and b.form and _alike(a.item.size, b.item.size):
            partners.setdefault(a.form, set()).add(b.form)
    single = {form: next(iter(others)) for form, others in partners.items() if len(others) == 1}
    counts = Counter(single.values())
    return {form: other for form, other in single.items() if counts[other] == 1}


def _take_learned(
    scores: list[list[float]],
    features_a: Sequence[_Features],
    features_b: Sequence[_Features],
    learned: Mapping[str, str],
    fits: _Fits,
) -> bool:
    """Score the pairs that other layers tell of, and none of what they tell against; whether any score changed."""
    there = {(b.layer, b.form): j for j, b in enumerate(features_b)}
    here = {(a.layer, learned[a.form]) for a in features_a if a.form in learned}
    changed = False
    for i, a in enumerate(features_a):
        own = there.get((a.layer, learned.get(a.form, "")))
        for j, b in enumerate(features_b):
            if not _same_layer(a, b) or _alike(a.item.size, b.item.size):
                continue
            if j == own and fits(a.item.shape, b.item.shape) and _whole(a) == _whole(b):
                scores[i][j], changed = 1 + _LEARNED, True
            elif scores[i][j] and (own is not None or (b.layer, b.form) in here):
                scores[i][j], changed = 0.0, True
    return changed


def _same_layer(a: _Features, b: _Features) -> bool:
    return a.layer is not None and a.layer == b.layer


@dataclass(frozen=True, slots=True)
class _Features:
    item: Unknown
    words: frozenset[str]
    layer: int | None
    expert: str = ""
    form: str = ""
    """The name without the layer's number; empty outside of layers."""

    @staticmethod
    def of(item: Unknown) -> _Features:
        found = _LAYER.search(item.name)
        expert = _EXPERT.search(item.name)
        if found is None:
            return _Features(item, _words(item.name), None)
        below = item.name[found.end() :]
        inside = _words(below)
        words = frozenset({"block"}) if inside <= _BLOCK else _words(item.name)
        if _in_the_middle(below):
            words = frozenset({"middle"})
        form = f"{item.name[: found.start(1)]}{{n}}{below}"
        return _Features(item, words, int(found[1]), expert[1] if expert else "", form)


def _in_the_middle(name: str) -> bool:
    """Whether a name below the layer means the residual stream after attention, and not what attention adds to it."""
    plain = [word.lower() for word in _WORDS.findall(name)]
    words = {_SYNONYMS.get(word, word) for word in plain}
    idle = {"x", "h", "hook"}
    if not words - idle <= _MIDDLE:
        return False
    return "mid" in words or ("attention" in words and bool(set(plain) & _STREAM)) or "inp" in words


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
    values = _VALUES if _alike(a.item.size, b.item.size) else 0.0
    if not values and (a.expert != b.expert or a.words & _KINDS != b.words & _KINDS):
        return 0.0
    if not values and not a.words & b.words and a.item.size and b.item.size:
        # Neither what they hold nor what they are called: the shape is that of half the tensors of a model.
        return 0.0
    return 1 + values + same_layer + exact + 2 * (len(a.words & b.words) / len(together) if together else 0)


def _alike(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two tensors' norms, means and extremes are the same."""
    if not a or not b or not all(map(math.isfinite, (*a, *b))) or not a[0]:
        return False
    unit = max(abs(a[-1]), abs(a[-2]), abs(b[-1]), abs(b[-2]))
    rest = all(abs(x - y) <= _ALIKE * unit for x, y in zip(a[1:], b[1:], strict=True))
    return rest and math.isclose(a[0], b[0], rel_tol=_ALIKE)


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


def _proposal(a: _Features, b: _Features, score: float, learned: Mapping[str, str]) -> Proposal:
    shape = "×".join(map(str, a.item.shape)) or "a scalar"
    other = "×".join(map(str, b.item.shape)) or "a scalar"
    evidence = [f"both {shape}" if shape == other else f"{shape} can be {other} laid out anew"]
    if a.layer is not None and a.layer == b.layer:
        evidence.append(f"layer {a.layer}")
    if _alike(a.item.size, b.item.size):
        evidence.append("the same norm, mean and extremes")
    elif learned.get(a.form, "") == b.form != "":
        evidence.append("the same values in other layers")
    if words := sorted(a.words & b.words):
        evidence.append(f"{' and '.join(words[:4])} in both")
    evidence.append("same order")
    return Proposal(a.item.name, b.item.name, ", ".join(evidence), score, _alike(a.item.size, b.item.size))
